"""A device's heartbeat: there from the start, alive only by answers."""

import os
import subprocess
import sys
import time

import pytest
from PIL import Image

from narrows.edge.heartbeat import beating, is_alive
from narrows.edge.outcome import OK, Outcome
from narrows.edge.record import FrameRecord
from narrows.errors import ConfigError


def record(status: str) -> FrameRecord:
    outcome = Outcome(frame_id=1, status=status)
    return FrameRecord("a", None, None, 0, outcome, {}, Image.new("RGB", (1, 1)))


def test_answers_keep_it_alive_and_nothing_else_does(tmp_path):
    file, told = tmp_path / "answered", []
    beat = beating(file, told.append)
    assert not is_alive(file)
    beat(record("INTERNAL"))
    assert not is_alive(file)
    beat(record(OK))
    assert is_alive(file)
    assert [r.outcome.status for r in told] == ["INTERNAL", OK]
    old = time.time() - 3600
    os.utime(file, (old, old))
    assert not is_alive(file)
    assert is_alive(file, patience_s=7200)


def test_its_check_is_a_command(tmp_path):
    command = [sys.executable, "-m", "narrows.edge.heartbeat", str(tmp_path / "answered")]
    assert subprocess.run(command, check=False).returncode == 1
    (tmp_path / "answered").touch()
    assert subprocess.run(command, check=False).returncode == 0
    assert subprocess.run([*command, "1e9"], check=False).returncode == 0


def test_a_file_that_cannot_be_made_is_told(tmp_path):
    with pytest.raises(ConfigError, match="--heartbeat"):
        beating(tmp_path / "none" / "answered", lambda _: None)
