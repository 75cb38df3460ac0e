"""The CPU-time model: its arithmetic, its constants, its fit, and that it says what it is."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.edge.energy import boards
from narrows.edge.energy.boards import load_board, radio_of, save_board, this_board
from narrows.edge.energy.cpu_time import machine_s, process_s
from narrows.edge.energy.fit import Interval, fit, intervals
from narrows.edge.energy.model import CpuTimeModel
from narrows.errors import ConfigError, SensorError

SHIPPED = boards.tomllib.loads(boards.SHIPPED.read_text())
watts = st.floats(0.1, 20)


def test_joules_are_idle_watts_and_busy_cores():
    now = {"clock": 100.0, "busy": 7.0}
    model = CpuTimeModel(load_board("pi5"), lambda: now["busy"], lambda: now["clock"])
    assert model.joules() == 0
    now.update(clock=110.0, busy=12.0)
    assert model.joules() == pytest.approx(10 * 2.4 + 5 * 1.525)
    assert model.about.is_model
    assert "model" in model.about.name
    assert "a model, not measured" in model.about.covers


@pytest.mark.parametrize("name", SHIPPED["boards"])
def test_every_shipped_board_names_its_source(name):
    board = load_board(name)
    assert board.core_w > 0
    assert board.idle_w > 0
    assert len(board.source) > 40


@pytest.mark.parametrize("name", SHIPPED["radios"])
def test_every_shipped_radio_names_its_source(name):
    radio = radio_of(name)
    assert radio.up_j > 0
    assert len(radio.source) > 10


def test_a_radio_is_found_by_its_links_profile():
    assert radio_of("lte:7") == radio_of("lte")
    assert radio_of("2mbit,20ms").name == "other"
    assert radio_of("none").up_j == radio_of("none").down_j == 0


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4\x00", "pi4"),
        ("Raspberry Pi 5 Model B Rev 1.0\x00", "pi5"),
        ("NVIDIA Jetson Orin Nano Developer Kit\x00", "orin-nano"),
        ("Radxa ROCK 5B\x00", "x86"),
    ],
)
def test_a_board_is_known_by_its_device_tree(tmp_path, told, name):
    (tmp_path / "model").write_text(told)
    assert this_board(tmp_path / "model").name == name
    assert this_board(tmp_path / "none").name == "x86"


def test_unknown_boards_and_files_that_are_none_are_told(tmp_path):
    with pytest.raises(ConfigError, match="no board 'pi3'; there are pi4, pi5"):
        load_board("pi3")
    for text in ("boards = 3", "[boards.a]\nidle_w = 1", "[boards.a]\n[boards.b]", "[", ""):
        (tmp_path / "mine.toml").write_text(text)
        with pytest.raises(ConfigError):
            load_board(str(tmp_path / "mine.toml"))


def test_a_saved_board_is_read_back(tmp_path):
    board = replace(load_board("pi4"), name="mine", source="Fitted to rapl.")
    save_board(board, tmp_path / "mine.toml")
    assert load_board(str(tmp_path / "mine.toml")) == board


@given(idle=watts, core=watts, loads=st.sets(st.integers(0, 8), min_size=2))
def test_a_fit_finds_the_watts_that_made_its_intervals(idle, core, loads):
    made = [Interval(5.0, 5.0 * load, 5.0 * (idle + core * load)) for load in sorted(loads)]
    fitted = fit(made, "rapl")
    assert fitted.board.idle_w == pytest.approx(idle, rel=1e-6, abs=1e-6)
    assert fitted.board.core_w == pytest.approx(core, rel=1e-6, abs=1e-6)
    assert fitted.error < 1e-6


def test_a_fit_tells_how_far_off_it_is():
    made = [Interval(1, 0, 2.0), Interval(1, 1, 3.1), Interval(1, 2, 3.9)]
    fitted = fit(made, "rapl")
    assert 0.005 < fitted.error < 0.05
    assert "Fitted to rapl over 3 intervals" in fitted.board.source


@pytest.mark.parametrize(
    "made",
    [
        [],
        [Interval(1, 0, 2.0)],
        [Interval(1, 1, 2.0), Interval(2, 2, 4.0)],
        [Interval(1, 0, 3.0), Interval(1, 1, 2.0)],
    ],
)
def test_intervals_that_do_not_tell_idle_from_busy_are_refused(made):
    with pytest.raises(SensorError, match="do not tell idle from busy"):
        fit(made, "rapl")


def test_intervals_are_of_loads_one_after_another():
    sensor = CpuTimeModel(load_board("pi5"))
    found = list(intervals(sensor, 0.05, (0, 2)))
    assert len(found) == 2
    for each in found:
        assert each.seconds >= 0.05
        assert each.joules >= 2.4 * 0.05 * 0.99
        assert each.busy_s >= 0


def test_a_process_time_is_its_own():
    code = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 0.2 <= process_s(process.pid) < 2
        process.communicate(b"\n")
    assert process_s(process.pid) == 0.0
    assert machine_s() >= process_s(os.getpid()) > 0
