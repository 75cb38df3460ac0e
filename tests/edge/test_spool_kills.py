"""Three hundred devices killed over one spool: it is always whole, and what was said is true."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

KILLS = 300
SCRIPT = Path(__file__).parents[1] / "spool_kills.py"


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: what was written outlives a killed process there too,
    and three thousand fsyncs cost nothing."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


def test_nothing_that_was_acknowledged_is_lost_or_comes_back(folder: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(folder), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kills"] == KILLS
    assert min(told["stored"], told["deleted"]) > KILLS
