"""The form in which a replica's counters reach whoever shows them, in this process or another."""

from collections.abc import Mapping, Sequence

Sample = tuple[str, dict[str, str], float]  # name, labels, value
Replicas = Mapping[str, Sequence[Sample]]  # by the replica's name
DIRECTOR = "director"  # in the place of a replica's name
STAGES = ("queue", "decode", "tail", "reply")
