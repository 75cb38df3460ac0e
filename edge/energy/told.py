"""What a command prints, for sensors that are asked through one."""

import subprocess
from collections.abc import Sequence

from narrows.errors import SensorError

PATIENCE_S = 10.0


def told_by(command: Sequence[str]) -> str:
    """Its standard output. Raises SensorError: it is not there, fails, or takes too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SensorError(f"{command[0]}: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise SensorError(f"{' '.join(command)}: code {done.returncode}: {said[-200:]}")
    return done.stdout
