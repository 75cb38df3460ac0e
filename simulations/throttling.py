"""A hot board that steps down and one that does not, in virtual time: a model, not a measurement.

`python -m narrows.simulations.throttling` prints both by the temperature around. The board is of
first order: it goes to R kelvin above that for each watt, with one time constant. Its firmware
halves the clock at 85 C, until 80 C. Idle and busy power are the Raspberry Pi 5's of boards.toml.
"""

import json
import math
from dataclasses import dataclass

from narrows.edge.board.heat import HOT_C, Heat
from narrows.edge.board.watch import EVERY_S
from narrows.edge.energy.boards import load_board
from narrows.edge.policy.cooling import Cooling

HALVED_C, WHOLE_C = 85.0, 80.0  # where the firmware halves the clock, and gives it back
THROTTLED = 4  # its bit for that
HALF_POWER = 0.35  # of a busy core at half the clock, whose voltage is lower too
KELVIN_PER_WATT, CONSTANT_S = 11.2, 120.0  # of a small closed box: assumed
HEAD_S, FPS = 0.070, 12.0  # of a frame at the whole clock; frames asked for
AWAY_S, DEADLINE_S = 0.030, 0.120  # link and server; from a frame's capture
HOURS = 8.0


@dataclass
class ModelBoard:
    """One core computes heads; the rest of the board idles."""

    around_c: float
    idle_w: float
    core_w: float

    def __post_init__(self) -> None:
        self.celsius, self.halved = self.around_c, False

    @property
    def head_s(self) -> float:
        """A frame's head, at the clock as it is."""
        return 2 * HEAD_S if self.halved else HEAD_S

    @property
    def heat(self) -> Heat:
        """As `read_heat` has it of a Raspberry Pi."""
        return Heat(self.celsius, HOT_C, THROTTLED if self.halved else 0)

    def pass_time(self, seconds: float) -> None:
        """With one head in them."""
        busy_w = self.core_w * (HALF_POWER if self.halved else 1.0)
        watts = self.idle_w + busy_w * self.head_s / seconds
        towards_c = self.around_c + KELVIN_PER_WATT * watts
        self.celsius += (self.celsius - towards_c) * math.expm1(-seconds / CONSTANT_S)
        self.halved = self.celsius >= (WHOLE_C if self.halved else HALVED_C)


def run(around_c: float, steps_down: bool, hours: float = HOURS) -> dict[str, float]:
    """Frame after frame: shares of late ones and of time at half the clock; in time an hour."""
    pi, cooling = load_board("pi5"), Cooling()
    board = ModelBoard(around_c, pi.idle_w, pi.core_w)
    frames, late, halved_s, now_s, heard_s = 0, 0, 0.0, 0.0, 0.0
    while now_s < 3600 * hours:
        if steps_down and now_s - heard_s >= EVERY_S:
            cooling.hear(board.heat.hot, board.heat.cool, now_s)
            heard_s = now_s
        period_s = max(board.head_s, cooling.one_in / FPS)  # a late frame does not hurry the next
        frames += 1
        late += board.head_s + AWAY_S > DEADLINE_S
        halved_s += period_s * board.halved
        now_s += period_s
        board.pass_time(period_s)
    return {
        "late": round(late / frames, 4),
        "halved": round(halved_s / now_s, 4),
        "in_time_per_hour": round((frames - late) / hours),
    }


if __name__ == "__main__":
    for degrees in (40.0, 45.0, 50.0):
        for steps in (False, True):
            print(json.dumps({"around_c": degrees, "steps_down": steps} | run(degrees, steps)))
