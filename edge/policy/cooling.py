"""How much of its work a board leaves undone while it is hot: it takes one frame in 1, 2, 4 or 8.

Half the frames for as long as it stays hot, twice as many after a minute of being cool, or an hour
of being neither. A step back that made it hot again is tried half as often from then on, as a
sender of TCP backs off: a board that all its frames heat would be throttled all day otherwise.
"""

FEWEST = 8  # one frame in so many at least: what heats a board then is not its frames
SETTLE_S = 30.0  # between steps down: most of the last one shows by then
SPELL_S = 60.0  # of being cool, before a step back
LONGEST_S = 3600.0  # the same where it is not cool, or where steps back keep making it hot


class Cooling:
    """`one_in` follows what is heard of a board's heat; instants are seconds of any one clock."""

    def __init__(
        self, settle_s: float = SETTLE_S, spell_s: float = SPELL_S, longest_s: float = LONGEST_S
    ):
        self.one_in = 1
        self.throttled_s = 0.0  # how long it was hot, in all
        self._settle_s, self._shortest_s, self._longest_s = settle_s, spell_s, longest_s
        self._spell_s, self._rose = spell_s, False  # whether the last step was one back
        self._changed_s = self._hot_s = self._warm_s = -float("inf")  # when it last was so
        self._was_hot = False  # at the last hearing

    def hear(self, hot: bool, cool: bool, now_s: float) -> bool:
        """Of the board's heat now; it may be neither. Whether `one_in` has changed."""
        if self._was_hot:
            self.throttled_s += now_s - self._hot_s
        self._was_hot = hot
        self._hot_s = now_s if hot else self._hot_s
        self._warm_s = self._warm_s if cool else now_s
        before = self.one_in
        if hot:
            self._step_down(now_s)
        elif self._rested(now_s):
            self._step_back()
        if self.one_in == before:
            return False
        self._changed_s, self._rose = now_s, self.one_in < before
        return True

    def _step_down(self, now_s: float) -> None:
        if self._rose:  # that was too early
            self._spell_s = min(2 * self._spell_s, self._longest_s)
        elif now_s - self._changed_s < self._settle_s:
            return
        self.one_in = min(2 * self.one_in, FEWEST)

    def _rested(self, now_s: float) -> bool:
        cool_s, not_hot_s = (
            now_s - max(self._changed_s, since_s) for since_s in (self._warm_s, self._hot_s)
        )
        return cool_s >= self._spell_s or not_hot_s >= self._longest_s

    def _step_back(self) -> None:
        if self.one_in > 1:
            self.one_in //= 2
        else:  # all frames, and still not hot: the heat is over
            self._spell_s, self._rose = self._shortest_s, False
