"""Every task's score from one packet, beside picture files sent to the unsplit network.

Scores are taken in the photograph's own pixels, so that resizing and cropping count. Classes meet
by name; a class that the set or the bundle does not have is nobody's mistake, but for pixels, of
which each has one answer.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from narrows.codec import bitstream
from narrows.codec.manifest import Precision
from narrows.edge.head import HeadKind
from narrows.edge.outcome import Outcome
from narrows.edge.wire import message_bytes
from narrows.errors import ConfigError
from narrows.images.annotated import AnnotatedImages
from narrows.images.annotations import UNKNOWN, Annotation, Boxes
from narrows.images.preprocess import View, pad_to_stride, prepare
from narrows.models.tasks.answer import Answer
from narrows.models.tasks.metrics import MeanAP, MeanIoU, Top1
from narrows.simulations.evaluation import Subject, evenly, whole
from narrows.simulations.rate_distortion.codecs import QUALITIES, decode, encode

METRICS = {"classification": "top-1", "detection": "mAP", "segmentation": "mIoU"}


@dataclass(frozen=True)
class Truth:
    """One photograph's annotations in the bundle's classes; None: not known or not comparable."""

    label: int | None
    boxes: Boxes | None
    mask: NDArray[np.uint8] | None


class Translation:
    """From a set's classes to a bundle's, by name."""

    def __init__(self, images: AnnotatedImages, labels_of: dict[str, tuple[str, ...]]):
        """Raises ConfigError where they have no class in common."""
        self.tables: dict[str, NDArray[np.uint8]] = {}
        for kind, names in images.labels.items():
            ours = [name.lower() for name in labels_of.get(kind, ())]
            table = np.full(256, UNKNOWN, np.uint8)
            for index, name in enumerate(names):
                if name.lower() in ours:
                    table[index] = ours.index(name.lower())
            if (table != UNKNOWN).any():
                self.tables[kind] = table
        if not self.tables:
            raise ConfigError(
                f"{images.root}: none of its classes is the bundle's: "
                f"{', '.join(name for names in labels_of.values() for name in names[:3])}..."
            )
        found = set(self.tables.get("detection", ())) - {UNKNOWN}
        self.unseen = frozenset(range(len(labels_of.get("detection", ())))) - found

    def truth(self, images: AnnotatedImages, entry: Annotation) -> Truth:
        """What is known of a photograph. Raises SourceError for an unreadable mask."""
        label = boxes = mask = None
        if entry.label is not None and "classification" in self.tables:
            index = int(self.tables["classification"][entry.label])
            label = None if index == UNKNOWN else index
        if entry.boxes is not None and "detection" in self.tables:
            boxes = self._boxes(entry.boxes)
        if entry.mask is not None and "segmentation" in self.tables:
            mask = self.tables["segmentation"][images.mask(entry)]
        return Truth(label, boxes, mask)

    def _boxes(self, boxes: Boxes) -> Boxes:
        table = self.tables["detection"]
        classes = table[boxes.classes]
        kept = classes != UNKNOWN
        unseen = self.unseen | {int(table[c]) for c in boxes.unseen}
        return Boxes(boxes.corners[kept], classes[kept].astype(np.int64), boxes.crowd[kept], unseen)


def tells(images: AnnotatedImages, labels_of: dict[str, tuple[str, ...]]) -> bool:
    """Whether a set and a bundle have a class in common."""
    try:
        Translation(images, labels_of)
    except ConfigError:
        return False
    return True


@dataclass
class Scores:
    """All tasks' metrics of one way of sending, and its bytes."""

    labels_of: dict[str, tuple[str, ...]]
    sizes: list[int] = field(default_factory=list)
    wire: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.top1 = Top1()
        self.iou = MeanIoU(len(self.labels_of.get("segmentation", ())))
        self.ap = MeanAP(len(self.labels_of.get("detection", ())))

    def add(self, answer: Answer, view: View, truth: Truth) -> None:
        """What a network said of the picture seen."""
        if truth.label is not None and answer.probabilities is not None:
            self.top1.add(int(answer.probabilities.argmax()), truth.label)
        if truth.boxes is not None and (found := answer.detections) is not None:
            self.ap.add(
                view.boxes(found.boxes), found.scores.tolist(), found.classes.tolist(), truth.boxes
            )
        if truth.mask is not None and answer.mask is not None:
            self.iou.add(view.mask(answer.mask), truth.mask)

    def add_outcome(self, outcome: Outcome, truth: Truth) -> None:
        """What a device was told of the photograph."""
        if truth.label is not None and outcome.labels:
            self.top1.add(outcome.labels[0].index, truth.label)
        if truth.boxes is not None and (found := outcome.boxes) is not None:
            corners = np.array([box.corners for box in found], np.float32).reshape(-1, 4)
            scores, classes = [box.score for box in found], [box.index for box in found]
            self.ap.add(corners, scores, classes, truth.boxes)
        if truth.mask is not None and outcome.mask is not None:
            self.iou.add(outcome.mask.whole(), truth.mask)
        self.sizes.append(outcome.wire.packet_bytes)
        self.wire.append(outcome.wire.total_bytes)

    def by_task(self, tasks: Iterable[str]) -> dict[str, float]:
        metrics: dict[str, Top1 | MeanAP | MeanIoU] = {
            "classification": self.top1, "detection": self.ap, "segmentation": self.iou,
        }  # fmt: skip
        return {task: metrics[task].score() for task in tasks}

    def row(self, tasks: Iterable[str], bytes_key: str) -> dict[str, Any]:
        return {
            "scores": self.by_task(tasks),
            bytes_key: float(np.mean(self.sizes)),
            "wire_bytes": float(np.mean(self.wire)),
        }


def evaluate_scenes(
    bundle: Path,
    entries: Sequence[tuple[AnnotatedImages, Annotation]],
    codecs: Sequence[str] = ("jpeg", "webp"),
    head: HeadKind = "auto",
    advance: Callable[[int], None] = lambda frames: None,
    precision: Precision = "fp32",
) -> dict[str, Any]:
    """Measure a bundle on photographs of annotated sets; all tasks of every way from one sending.

    `packet_bytes` are a packet's and `bytes` a file's, `wire_bytes` with protobuf, gRPC and HTTP/2
    framing; all are means.

    Raises:
        BundleError: the bundle does not hold together.
        ConfigError: a set and the bundle have no class in common.
    """
    subject = Subject(bundle, head, precision)
    labels_of = subject.manifest.labels_of
    translations = {images: Translation(images, labels_of) for images, _ in entries}
    known = {task for translation in translations.values() for task in translation.tables}
    tasks = [task for task in METRICS if task in known]
    ways = [("point", p) for p in range(len(subject.codec.points))]
    ways += [(c, q) for c in codecs for q in QUALITIES[c]]
    scores = {way: Scores(labels_of) for way in ways}
    unsplit = Scores(labels_of)
    rule = subject.manifest.input
    for images, entry in entries:
        picture, view = prepare(images.image(entry.name), rule.short_side, rule.max_aspect)
        truth = translations[images].truth(images, entry)
        unsplit.add(_uploaded(subject, picture, tasks), view, truth)
        latent = subject.head.run(pad_to_stride(picture, rule.stride))
        for (kind, setting), tally in scores.items():
            if kind == "point":
                tally.add(_split(subject, latent, picture, setting, tasks, tally), view, truth)
            else:
                data = encode(picture, kind, setting)
                tally.sizes.append(len(data))
                tally.wire.append(message_bytes(image=data, size=_size(picture)))
                tally.add(_uploaded(subject, decode(data), tasks), view, truth)
        advance(1)
    points = [
        {"id": s} | t.row(tasks, "packet_bytes") for (k, s), t in scores.items() if k == "point"
    ]
    files = {
        codec: [
            {"quality": q} | t.row(tasks, "bytes") for (k, q), t in scores.items() if k == codec
        ]
        for codec in codecs
    }
    return {
        "frames": len(entries),
        "metrics": {task: METRICS[task] for task in tasks},
        "unsplit_scores": unsplit.by_task(tasks),
        "points": points,
    } | files


def _size(picture: NDArray[np.uint8]) -> tuple[int, int]:
    return picture.shape[0], picture.shape[1]


def _split(
    subject: Subject,
    latent: NDArray[np.float32],
    picture: NDArray[np.uint8],
    point: int,
    tasks: Sequence[str],
    tally: Scores,
) -> Answer:
    data = subject.codec.encode(latent, point)
    tally.sizes.append(len(data))
    tally.wire.append(message_bytes(packet=data, size=_size(picture)))
    (decoded,) = subject.codec.decode([bitstream.parse(data)])
    return subject.tail.answers(whole(decoded)[None], [_size(picture)], tasks)[0]


def _uploaded(subject: Subject, picture: NDArray[np.uint8], tasks: Sequence[str]) -> Answer:
    padded = pad_to_stride(picture, subject.manifest.input.stride)
    return subject.tail.unsplit_answers(padded[None], [_size(picture)], tasks)[0]


def measured_scenes(
    bundle: Path,
    sets: Sequence[AnnotatedImages],
    part: str,
    limit: int | None = None,
    codecs: Sequence[str] = ("jpeg", "webp"),
    head: HeadKind = "auto",
    precision: Precision = "fp32",
) -> dict[str, Any]:
    """`evaluate_scenes` of a part of every set, with a progress bar. Raises NarrowsError."""
    entries = evenly([(images, e) for images in sets for e in images.of_part(part)], limit)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("photographs", total=len(entries))
        return evaluate_scenes(
            bundle, entries, codecs, head, lambda done: progress.advance(task, done), precision
        )


def print_scenes(figures: dict[str, Any]) -> None:
    """One table: a row for every way of sending, a column for every task."""
    metrics = figures["metrics"]
    names = [f"{task}, {metric}" for task, metric in metrics.items()]
    table = Table("sent", "bytes", *names, title=f"{figures['frames']} photographs")
    table.add_row("unsplit", "-", *(f"{figures['unsplit_scores'][t]:.1%}" for t in metrics))
    for kind in ("points", "jpeg", "webp", "avif"):
        for row in figures.get(kind, ()):
            ours = kind == "points"
            name = f"point {row['id']}" if ours else f"{kind} {row['quality']}"
            size = row["packet_bytes" if ours else "bytes"]
            table.add_row(name, f"{size:,.0f}", *(f"{row['scores'][t]:.1%}" for t in metrics))
    Console().print(table)
