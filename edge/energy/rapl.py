"""Intel's and AMD's counters of processor energy (RAPL), as Linux's powercap shows them.

A zone has `name`, `energy_uj` and `max_energy_range_uj`, at which the counter begins again. A
package's zones below it (cores, graphics) are parts of it; memory (dram) is not and is added.
"""

from pathlib import Path

from narrows.edge.energy.sensor import About
from narrows.errors import SensorError

ROOT = Path("/sys/class/powercap")
CLOSED = (
    "{path} may be read by root alone, since it can leak keys (CVE-2020-8694): "
    "run as root, or `sudo chmod a+r {path}`"
)


class Counter:
    """A counter of microjoules that begins again at its range."""

    def __init__(self, path: Path, range_uj: int):
        """Raises SensorError."""
        self._path, self._range_uj = path, range_uj
        self._last_uj, self.spent_uj = read_number(path), 0

    def advance(self) -> int:
        """Microjoules since it was opened. It must be asked once a lap: an hour at 70 W."""
        now_uj = read_number(self._path)
        lap_uj = self._range_uj if now_uj < self._last_uj else 0
        self.spent_uj += now_uj - self._last_uj + lap_uj
        self._last_uj = now_uj
        return self.spent_uj


class Rapl:
    """The processor packages and their memory."""

    def __init__(self, root: Path = ROOT):
        """Raises SensorError: there are none, or they may not be read."""
        zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _counts(zone)]
        if not zones:
            raise SensorError(f"{root}: no intel-rapl package here")
        self._counters = [
            Counter(zone / "energy_uj", read_number(zone / "max_energy_range_uj")) for zone in zones
        ]
        names = ", ".join((zone / "name").read_text().strip() for zone in zones)
        covers = f"the processor by its own counters ({names}), not the board"
        self.about = About("rapl", covers, "package")

    def joules(self) -> float:
        """Since it was opened. Raises SensorError."""
        return sum(counter.advance() for counter in self._counters) / 1e6


def _counts(zone: Path) -> bool:
    try:
        name = (zone / "name").read_text().strip()
    except OSError:
        return False
    return name.startswith("package") or name == "dram"


def read_number(path: Path) -> int:
    """The whole number that a sysfs file holds. Raises SensorError."""
    try:
        return int(path.read_text())
    except PermissionError:
        raise SensorError(CLOSED.format(path=path)) from None
    except (OSError, ValueError) as error:
        raise SensorError(f"{path}: expected a whole number: {error}") from None
