"""Which sensor is taken, from what a machine has."""

import sys

import pytest
from energy_sensors import ORIN_NANO, PI5, chip, printing, zone

from narrows.edge.energy.discover import Places, open_sensor
from narrows.errors import ConfigError, SensorError

GONE = (sys.executable, "-c", "raise SystemExit(1)")


@pytest.fixture
def bare(tmp_path):
    """A machine without any sensor."""
    folders = tmp_path / "powercap", tmp_path / "hwmon"
    for folder in folders:
        folder.mkdir()
    return Places(*folders, GONE, GONE, tmp_path / "model")


def taken(name, places):
    with open_sensor(name, places) as found:
        assert found.sensor.joules() >= 0
        return found


def test_where_nothing_is_there_it_is_the_model_and_says_why(bare):
    found = taken("auto", bare)
    assert found.sensor.about.is_model
    assert set(found.without) == {"ina3221", "pmic", "rapl"}


def test_a_whole_board_is_taken_before_the_processor_alone(bare):
    zone(bare.powercap, "intel-rapl:0", "package-0", 0)
    assert taken("auto", bare).sensor.about.name == "rapl"
    chip(bare.hwmon, 0, ORIN_NANO)
    assert taken("auto", bare).sensor.about.name == "ina3221"


def test_each_is_taken_by_name(bare):
    places = Places(bare.powercap, bare.hwmon, printing(PI5), printing("70.1\n"), bare.device_tree)
    chip(places.hwmon, 0, ORIN_NANO)
    zone(places.powercap, "intel-rapl:0", "package-0", 0)
    for name in ("rapl", "ina3221", "pmic", "nvml", "model:pi4", "model"):
        about = taken(name, places).sensor.about
        assert about.name.startswith(name)
        assert about.is_model == name.startswith("model")
    assert taken("nvml", places).sensor.about.part == "gpu"


def test_what_is_asked_for_and_not_there_is_an_error(bare):
    for name in ("rapl", "ina3221", "pmic", "nvml", "um25c:/dev/no-such-port"):
        with pytest.raises(SensorError):
            taken(name, bare)
    for name in ("", "sun", "um25c", "ina3221:1", "model:pi3"):
        with pytest.raises(ConfigError):
            taken(name, bare)
