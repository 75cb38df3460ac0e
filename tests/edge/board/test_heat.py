"""What is hot and what is not, on boards that are made up."""

import pytest
from made_up_board import places, put, put_cooling, put_zone

from narrows.edge.board.heat import Heat, HeatPlaces, read_heat

HOT_PI = "throttled=0xe0008"


def heat(tree, said=None) -> Heat:
    found = read_heat(places(tree, said))
    assert found is not None
    return found


def test_a_board_that_tells_nothing(tmp_path):
    assert read_heat(places(tmp_path)) is None
    assert read_heat(HeatPlaces(tmp_path / "none", ("none",), tmp_path / "none")) is None
    put_cooling(tmp_path, "pwm-fan", 3)
    assert read_heat(places(tmp_path, "error=1 error_msg=none")) is None


@pytest.mark.parametrize(("celsius", "hot", "cool"), [(74, 0, 1), (78, 0, 0), (80, 1, 0)])
def test_where_nothing_else_is_told_a_processor_is_hot_at_80(tmp_path, celsius, hot, cool):
    put_zone(tmp_path, celsius)
    assert (heat(tmp_path).hot, heat(tmp_path).cool) == (hot, cool)


def test_a_zones_own_passive_trip_point_is_its_limit(tmp_path):
    put_zone(tmp_path, 90, passive=99, active=60, critical=105)
    assert heat(tmp_path) == Heat(90, 99)
    assert heat(tmp_path).cool
    put_zone(tmp_path, 99, passive=99)
    assert heat(tmp_path).hot
    put_zone(tmp_path, 99, passive=-274)  # of one that is not set
    assert heat(tmp_path).limit_c == 80


def test_a_zone_of_something_else_has_no_limit_but_its_own(tmp_path):
    put_zone(tmp_path, 100, "PMIC-Die")  # a Jetson Nano's, whatever its temperature
    assert heat(tmp_path).cool
    put_zone(tmp_path, 70, number=1)
    assert heat(tmp_path) == Heat(70, 80)
    put(tmp_path / "thermal_zone1" / "temp", "not a number")
    assert heat(tmp_path).celsius == 100


def test_the_nearest_to_its_limit_is_told(tmp_path):
    put_zone(tmp_path, 79, number=0)
    put_zone(tmp_path, 85, "GPU-therm", 1, passive=99)
    assert heat(tmp_path) == Heat(79, 80)


@pytest.mark.parametrize("kind", ["cpufreq-cpu0", "thermal-cpufreq-0", "Processor", "idle-cpu1",
                                  "cpu-throttle-alert"])  # fmt: skip
def test_the_kernels_cooling_devices_are_its_own_sign(tmp_path, kind):
    put_zone(tmp_path, 85)
    put_cooling(tmp_path, kind, 0)
    put_cooling(tmp_path, "devfreq-gpu", 5, 1)
    assert not heat(tmp_path).hot  # the kernel would say so
    put_cooling(tmp_path, kind, 2)
    assert heat(tmp_path).hot
    assert heat(tmp_path).held_back == (kind,)


@pytest.mark.parametrize(
    ("bits", "hot"),
    [
        ("0x0", False),
        ("0x1", False),  # a weak power supply
        ("0x5", False),  # which throttles
        ("0x50005", False),
        ("0xe0000", False),  # earlier
        ("0x2", True),
        ("0x4", True),
        ("0x8", True),
        ("0xd", True),
    ],
)
def test_a_firmwares_bits(tmp_path, bits, hot):
    put_zone(tmp_path, 70)
    assert heat(tmp_path, f"throttled={bits}").hot == hot


def test_heat_under_a_weak_power_supply_is_told_by_the_temperature(tmp_path):
    put_zone(tmp_path, 84)
    assert not heat(tmp_path, "throttled=0x0").hot
    assert heat(tmp_path, "throttled=0x50005").hot


def test_the_kernels_file_stands_in_for_the_command(tmp_path):
    put(tmp_path / "get_throttled", "e0008")
    assert heat(tmp_path).held_back == ("temperature limit",)
    assert heat(tmp_path, "throttled=0x0").firmware == 0
    assert heat(tmp_path, "VCHI initialization failed").hot
