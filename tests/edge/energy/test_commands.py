"""Sensors that are asked through a command: by what `vcgencmd` and `nvidia-smi` print."""

import pytest
from energy_sensors import PI5, printing

from narrows.edge.energy.nvml import Nvml, draws
from narrows.edge.energy.pmic import Pmic, rails
from narrows.errors import SensorError


def test_the_pi_5s_rails_are_paired_by_name_and_added():
    found = rails(PI5)
    assert len(found) == 12
    assert found["VDD_CORE"] == pytest.approx(1.11625 * 0.7494498)
    assert not {"EXT5V", "BATT"} & found.keys()
    assert Pmic(printing(PI5)).watts() == pytest.approx(sum(found.values()))
    assert 2.0 < sum(found.values()) < 2.5  # an idle board


def test_a_rail_that_is_not_a_number_is_left_out():
    text = PI5.replace("volt(23)=5.10138000V", "volt(23)=nanV")
    assert "HDMI" not in rails(text)
    assert len(rails(text)) == 11


@pytest.mark.parametrize(
    "text", ["", 'error=1 error_msg="Command not registered"', "EXT5V_V volt(24)=5.0V"]
)
def test_what_is_no_pi_5_is_told(text):
    with pytest.raises(SensorError, match="of a Raspberry Pi 5"):
        Pmic(printing(text))


def test_gpus_are_added():
    assert draws("71.33\n") == [71.33]
    assert Nvml(printing("24.10\n118.52\n")).watts() == pytest.approx(142.62)


@pytest.mark.parametrize(
    "text", ["[N/A]\n", "12.5\n[Not Supported]\n", "No devices were found\n", ""]
)
def test_a_gpu_that_does_not_tell_is_told(text):
    with pytest.raises(SensorError):
        Nvml(printing(text))


def test_a_command_that_is_not_there_or_fails_is_named():
    with pytest.raises(SensorError, match="no-such-command"):
        Pmic(("no-such-command",))
    with pytest.raises(SensorError, match=r"code 6: .*driver"):
        Nvml(printing("cannot talk to the driver", code=6))
