"""What a device can do with a frame, with the bytes and the accuracy that the manifest has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from narrows.codec.manifest import Manifest, OperatingPoint
from narrows.edge.wire import message_bytes

LOCAL_EXIT = "exit"  # the key in a manifest's provenance: what `narrows bundle calibrate` measured

Kind = Literal["packet", "image", "local"]
UNMEASURED = 0.001  # what each coarser point is taken to lose


@dataclass(frozen=True)
class Choice:
    """One way to have a frame answered."""

    kind: Kind
    level: int  # the operating point, or the picture's quality
    wire_bytes: float  # on average, with all framing
    accuracy: float  # on average
    extra_s: float = 0.0  # the device's time for it beyond what every frame takes

    def __str__(self) -> str:
        names = {"packet": f"point {self.level}", "image": f"jpeg {self.level}", "local": "local"}
        return names[self.kind]


def menu_of(manifest: Manifest) -> tuple[Choice, ...]:
    """Every operating point, pictures as far as they were measured, and the device's own answer.

    Without a calibrated exit head the own answer stands for none: its accuracy is 0.
    """
    side = manifest.input.short_side
    around = message_bytes(packet=b"x", size=(side, side)) - 1
    exit_figures = manifest.provenance.get(LOCAL_EXIT, {})
    points = [
        Choice("packet", p.id, p.packet_bytes + around, _accuracy(p))
        for p in manifest.operating_points
    ]
    local = Choice("local", 0, 0.0, float(exit_figures.get("accuracy", 0.0)))
    return (*points, *_pictures(exit_figures.get("pictures", ()), around), local)


def _accuracy(point: OperatingPoint) -> float:
    """The mean of its tasks' scores; where nothing was measured, finer is a little better."""
    scores = point.scores_of.values()
    return sum(scores) / len(scores) if scores else 1 - UNMEASURED * point.id


def _pictures(rows: Sequence[dict[str, Any]], around: int) -> list[Choice]:
    return [
        Choice("image", int(row["quality"]), row["bytes"] + around, row["accuracy"], row["extra_s"])
        for row in rows
    ]
