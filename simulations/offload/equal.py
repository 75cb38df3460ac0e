"""Split and JPEG at equal accuracy: for each point the cheapest pictures that are as accurate."""

from collections.abc import Iterator, Mapping
from typing import Any

from narrows.edge.policy.menu import Choice
from narrows.simulations.events.ways import Known

TARGET = 10.0  # times faster, on a LoRa-like link


def counterparts(known: Known) -> dict[int, Choice | None]:
    """Of each point, the JPEG of fewest bytes that is at least as accurate; None: none is."""
    pictures = [choice for choice in known.menu if choice.kind == "image"]
    return {
        point.level: min(
            (each for each in pictures if each.accuracy >= point.accuracy),
            key=lambda each: each.wire_bytes,
            default=None,
        )
        for point in known.menu
        if point.kind == "packet"
    }


def compared(known: Known, ways: Mapping[str, Any], deadline_ms: float) -> Iterator[dict[str, Any]]:
    """A row for each point: how many times faster its median frame is than its counterpart's.

    Where that picture had no answer by the deadline, a ratio is what it is at least.
    """
    for level, picture in counterparts(known).items():
        point = known.choice("packet", level)
        row = {"point": level, "accuracy": point.accuracy, "bytes": point.wire_bytes}
        if picture is None:
            yield row | {"jpeg": None, "ratio": None}
            continue
        split, jpeg = ways[f"fixed:{level}"], ways[f"jpeg:{picture.level}"]
        yield row | {
            "jpeg": picture.level, "jpeg_accuracy": picture.accuracy,
            "jpeg_bytes": picture.wire_bytes, "p50_ms": split["p50_ms"],
            "jpeg_p50_ms": jpeg["p50_ms"],
            "at_least": jpeg["p50_ms"] is None, "at_least_p95": jpeg["p95_ms"] is None,
            "ratio": _ratio(jpeg["p50_ms"] or deadline_ms, split["p50_ms"]),
            "ratio_p95": _ratio(jpeg["p95_ms"] or deadline_ms, split["p95_ms"]),
        }  # fmt: skip


def _ratio(slow_ms: float, fast_ms: float | None) -> float | None:
    """None where the fast one has no such figure either."""
    return None if fast_ms is None else slow_ms / fast_ms
