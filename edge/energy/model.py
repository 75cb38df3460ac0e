"""No sensor: energy as watts of a board times seconds, and of a core times seconds of processor.

    joules = idle_w * elapsed + core_w * (processor time of all cores)

Linear in utilisation: Rivoire, Ranganathan, Kozyrakis, A Comparison of High-Level Full-System Power
Models, HotPower 2008. Fitted to a meter such a model is good; with another board's constants it
tells which of two ways spends more, hardly how much.
"""

import time
from collections.abc import Callable

from narrows.edge.energy.boards import Board
from narrows.edge.energy.cpu_time import machine_s
from narrows.edge.energy.sensor import About


class CpuTimeModel:
    """A sensor that computes what it cannot measure."""

    def __init__(
        self,
        board: Board,
        busy_s: Callable[[], float] = machine_s,
        clock: Callable[[], float] = time.monotonic,
    ):
        """`busy_s`: seconds of processor, of all cores; `clock` in seconds. Neither may fall."""
        self.board, self._busy_s, self._clock = board, busy_s, clock
        self._began = clock(), busy_s()
        watts = f"{board.idle_w:g} W and {board.core_w:g} W for each busy core of this machine"
        covers = f"a model, not measured: {board.about}, {watts}"
        self.about = About(f"model:{board.name}", covers, "board", True)

    def joules(self) -> float:
        """Since it was opened."""
        at_s, busy_s = self._clock() - self._began[0], self._busy_s() - self._began[1]
        return self.board.idle_w * at_s + self.board.core_w * busy_s
