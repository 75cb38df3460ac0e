"""How often something may be said: a peer's misbehaviour fills no disk."""

from time import monotonic


class Ration:
    """So many lines in any one second, and how many were left out."""

    def __init__(self, per_second: int):
        self._per_second = per_second
        self._began_s, self._taken, self._left_out = monotonic(), 0, 0

    def take(self) -> bool:
        """Whether a line may be written now."""
        now_s = monotonic()
        if now_s - self._began_s >= 1:
            self._began_s, self._taken = now_s, 0
        if self._taken == self._per_second:
            self._left_out += 1
            return False
        self._taken += 1
        return True

    def settle(self) -> int:
        """How many were left out since the line before."""
        left_out, self._left_out = self._left_out, 0
        return left_out
