"""Beside a device's loop: the board's heat, read every few seconds, and what follows from it."""

import asyncio
import logging
from collections import deque
from datetime import datetime, timezone
from time import monotonic
from typing import Any

from narrows.edge.board.heat import Heat, HeatPlaces, read_heat
from narrows.edge.policy.cooling import Cooling

log = logging.getLogger(__name__)
EVERY_S = 5.0  # on a Raspberry Pi a reading starts a process
STEPS = 100  # the latest, which the summary has: a device runs for months


class HeatWatch:
    """How many of its frames the board should take, from its heat; a line for every change."""

    def __init__(
        self,
        places: HeatPlaces | None = None,
        cooling: Cooling | None = None,
        every_s: float = EVERY_S,
    ):
        self._places, self._every_s = places or HeatPlaces(), every_s
        self._cooling, self._told = cooling or Cooling(), False
        self._steps: deque[dict[str, Any]] = deque(maxlen=STEPS)

    @property
    def one_in(self) -> int:
        """One frame in so many is to be taken."""
        return self._cooling.one_in

    async def watch(self) -> None:
        """Until cancelled, or at once where the board tells nothing of its heat."""
        while (heat := await asyncio.to_thread(read_heat, self._places)) or self._told:
            if heat is not None:  # else it may be told again: a sensor can be busy
                self._told = True
                if self._cooling.hear(heat.hot, heat.cool, monotonic()):
                    self._tell(heat)
            await asyncio.sleep(self._every_s)

    def _tell(self, heat: Heat) -> None:
        frames = "every frame" if self.one_in == 1 else f"1 frame in {self.one_in}"
        log.warning("%s: %s from now on", heat, frames)
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        step = {"at": at, "one_in": self.one_in, "celsius": heat.celsius}
        self._steps.append(step | {"held_back": list(heat.held_back)})

    def summary(self) -> dict[str, Any] | None:
        """How long it was hot and what followed; None where the board tells nothing."""
        if not self._told:
            return None
        throttled_s = round(self._cooling.throttled_s, 1)
        return {"throttled_s": throttled_s, "one_in": self.one_in, "steps": list(self._steps)}
