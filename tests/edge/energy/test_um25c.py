"""The UM25C: a pseudo-terminal answers as it does, or as it does not."""

import pytest
from energy_sensors import usb_frame as frame
from energy_sensors import usb_meter as meter
from hypothesis import given
from hypothesis import strategies as st

from narrows.edge.energy.um25c import FRAME_BYTES, Um25c, parse
from narrows.errors import SensorError


def test_a_frame_is_130_bytes_big_endian():
    found = parse(frame())
    assert len(frame()) == FRAME_BYTES
    assert (found.volts, found.amperes, found.watts) == pytest.approx((5.083, 0.5210, 2.648))


def test_a_meter_is_asked_and_answers_over_its_port():
    answers = frame(), frame(5083, 5210, 2648), frame(5000, 10000, 5000)
    with meter(*answers) as device, Um25c(device) as found:
        assert found.watts() == pytest.approx(2.648)
        assert found.watts() == pytest.approx(5.0)


def test_a_meter_that_stops_in_the_middle_is_told():
    with meter(frame(), frame()[:40]) as device, Um25c(device, patience_s=0.2) as found:
        with pytest.raises(SensorError, match="40 of 130 bytes"):
            found.watts()


def test_another_model_and_no_device_are_told(tmp_path):
    with meter(frame(model=0x0963)) as device:
        with pytest.raises(SensorError, match=r"not a UM25C: .*got 0x0963"):
            Um25c(device)
    with pytest.raises(SensorError, match="rfcomm bind"):
        Um25c(tmp_path / "rfcomm0")
    (tmp_path / "file").write_text("")
    with pytest.raises(SensorError, match="not a UM25C"):
        Um25c(tmp_path / "file")


def test_a_power_that_is_not_voltage_times_current_is_refused():
    with pytest.raises(SensorError, match="is not 5 V x 1 A"):
        parse(frame(5000, 10_000, 9000))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_reading_or_an_error(data):
    try:
        found = parse(data)
    except SensorError:
        return
    assert found.watts >= 0


@given(st.integers(0, 24_000), st.integers(0, 50_000))
def test_whatever_the_meter_can_measure_is_read_back(millivolts, tenth_milliamperes):
    milliwatts = millivolts * tenth_milliamperes // 10_000
    found = parse(frame(millivolts, tenth_milliamperes, milliwatts))
    assert found.watts == pytest.approx(milliwatts / 1e3)
