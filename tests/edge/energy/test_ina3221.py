"""Jetson's rails by trees as JetPack 5 and 6 have them."""

import pytest
from energy_sensors import ORIN_NANO, chip

from narrows.edge.energy.ina3221 import Ina3221
from narrows.errors import SensorError

AGX_ORIN = (
    (("VDD_GPU_SOC", 19896, 240), ("VDD_CPU_CV", 19896, 80), ("VIN_SYS_5V0", 4992, 760)),
    (("NC", 5000, 8), ("VDDQ_VDD2_1V8AO", 4992, 120), ("NC", 5000, 8)),
)


def test_jetpack_6_on_an_orin_nano_is_the_modules_input_and_not_its_parts_again(tmp_path):
    folder = chip(tmp_path, 1, ORIN_NANO)
    (folder / "in7_label").write_text("sum of shunt voltages\n")  # the sums that its kernel adds
    (folder / "in7_input").write_text("7\n")
    (folder / "curr4_input").write_text("1408\n")
    chip(tmp_path, 0, (("x", 1, 1),), name="tmp451")
    meter = Ina3221(tmp_path)
    assert meter.watts() == pytest.approx(5.072 * 0.960)
    assert "VDD_IN" in meter.about.covers


def test_jetpack_5_on_an_agx_orin_adds_the_rails_of_both_chips(tmp_path):
    chip(tmp_path, 3, AGX_ORIN[0])
    chip(tmp_path, 4, AGX_ORIN[1])
    meter = Ina3221(tmp_path)
    assert meter.watts() == pytest.approx(
        19.896 * 0.240 + 19.896 * 0.080 + 4.992 * 0.760 + 4.992 * 0.120
    )
    assert "VDDQ_VDD2_1V8AO" in meter.about.covers
    assert "NC" not in meter.about.covers


def test_a_channel_that_is_switched_off_is_left_out(tmp_path):
    folder = chip(tmp_path, 1, ORIN_NANO)
    (folder / "in1_enable").write_text("0\n")
    assert Ina3221(tmp_path).watts() == pytest.approx(5.072 * (0.160 + 0.288))


def test_a_current_that_flows_back_is_nothing_spent(tmp_path):
    chip(tmp_path, 1, (("VDD_IN", 5072, -8),))
    assert Ina3221(tmp_path).watts() == 0


def test_no_chip_and_a_chip_that_does_not_answer_are_told(tmp_path):
    with pytest.raises(SensorError, match="no INA3221"):
        Ina3221(tmp_path)
    folder = chip(tmp_path, 1, ORIN_NANO)
    meter = Ina3221(tmp_path)
    (folder / "curr1_input").unlink()
    with pytest.raises(SensorError, match="curr1_input"):
        meter.watts()
