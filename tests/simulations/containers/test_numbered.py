"""Equal containers deal folders out among themselves by locks."""

import subprocess
import sys

import pytest

from narrows.errors import ConfigError
from narrows.simulations.containers.numbered import claim

HOLD = """
import sys
from pathlib import Path
from narrows.simulations.containers.numbered import claim
print(claim(Path(sys.argv[1]), "device-*").name, flush=True)
sys.stdin.read()
"""


def test_each_gets_another_and_a_killed_ones_is_free_again(tmp_path):
    for number in range(2):
        (tmp_path / f"device-{number:02d}").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline().strip() == "device-00"
        assert claim(tmp_path, "device-*").name == "device-01"
        with pytest.raises(ConfigError, match="all 2"):
            claim(tmp_path, "device-*")
        other.kill()
        other.wait()
        assert claim(tmp_path, "device-*").name == "device-00"
