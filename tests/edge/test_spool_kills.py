"""Three hundred devices killed over one spool: it is always whole, and what was said is true."""

import json
import subprocess
import sys
from pathlib import Path

KILLS = 300
SCRIPT = Path(__file__).parents[1] / "spool_kills.py"


def test_nothing_that_was_acknowledged_is_lost_or_comes_back(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kills"] == KILLS
    assert min(told["stored"], told["deleted"]) > KILLS
