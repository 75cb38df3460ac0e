"""NVIDIA GPUs, through `nvidia-smi`, which comes with every driver and needs no package.

NVML's own energy counter is not in what it prints; the power it prints is an average over up to a
second, so runs of a few seconds and more are measured, single frames are not.
"""

from collections.abc import Sequence

from narrows.edge.energy.sensor import About
from narrows.edge.energy.told import told_by
from narrows.errors import SensorError

COMMAND = ("nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits")


class Nvml:
    """All GPUs of this machine together."""

    about = About("nvml", "all NVIDIA GPUs of this machine, boards included", "gpu")

    def __init__(self, command: Sequence[str] = COMMAND):
        """Raises SensorError: there is no GPU, or none that tells its power."""
        self._command = tuple(command)
        self.watts()

    def watts(self) -> float:
        """Of all. Raises SensorError."""
        return sum(draws(told_by(self._command)))


def draws(text: str) -> list[float]:
    """A line a GPU -> watts of each. Raises SensorError: one of them is not a number."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    try:
        found = [float(line) for line in lines]
    except ValueError:
        raise SensorError(f"expected each GPU's watts, got {', '.join(lines)[:80]!r}") from None
    if not found:
        raise SensorError("nvidia-smi names no GPU")
    return found
