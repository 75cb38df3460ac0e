"""Accuracy and bytes of a bundle on photographs: device code, real coder and tail in one process.

Beside every operating point stand JPEG and WebP uploads of the same pictures to the unsplit
network. Nothing is estimated: a packet's bytes are its length, a picture's are its file's.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from narrows.codec import bitstream
from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest, Precision
from narrows.edge.encoder import encode_picture
from narrows.edge.head import HeadKind, load_head
from narrows.edge.wire import message_bytes
from narrows.errors import PacketError, SourceError
from narrows.images.labelled import Entry, LabelledImages
from narrows.images.preprocess import pad_to_stride, resize_and_crop
from narrows.models.bundle import TailRunner, load_tail
from narrows.models.cores import eager_core

QUALITIES = (1, 3, 5, 8, 10, 15, 20, 25, 30, 40, 50, 60, 75, 90)
BATCH = 16  # pictures of one size that go through the networks together

Picture = NDArray[np.uint8]  # (height, width, 3), preprocessed, not padded
T = TypeVar("T")


def evenly(entries: Sequence[T], limit: int | None) -> Sequence[T]:
    """At most `limit` entries, spread over the whole sequence."""
    if limit is None or limit >= len(entries):
        return entries
    return [entries[i * len(entries) // limit] for i in range(limit)]


@dataclass
class Tally:
    """Running sums of one configuration."""

    frames: int = 0
    right: int = 0
    agreeing: int = 0
    payload_bytes: int = 0
    wire_bytes: int = 0

    def add(self, probabilities: NDArray, targets: NDArray, unsplit: NDArray) -> None:
        answers = probabilities.argmax(1)
        self.frames += len(answers)
        self.right += int((answers == targets).sum())
        self.agreeing += int((answers == unsplit).sum())

    def add_bytes(self, payload: bytes, wire: int) -> None:
        self.payload_bytes += len(payload)
        self.wire_bytes += wire


@dataclass
class Subject:
    """A loaded bundle, ready to be measured."""

    bundle: Path
    head_kind: HeadKind = "auto"
    precision: Precision = "fp32"  # of the tail; the unsplit network keeps float32
    manifest: Manifest = field(init=False)
    tail: TailRunner = field(init=False)

    def __post_init__(self) -> None:
        self.manifest = Manifest.load(self.bundle)
        self.manifest.verify_files(self.bundle)
        self.tail = load_tail(self.bundle)
        self.tail.core = eager_core(self.tail.tail, self.precision)
        self.codec = load_frame_codec(self.bundle, self.manifest)
        self.head = load_head(self.bundle, self.manifest, self.head_kind)

    def targets(self, images: LabelledImages, entries: Iterable[Entry]) -> list[tuple[Entry, int]]:
        """Entries whose class folder this bundle knows, by folder or shown name; -1 if none is."""
        names = {name.lower(): i for i, name in enumerate(self.manifest.labels)}
        names |= {name.lower(): i for i, name in enumerate(self.manifest.folders)}
        found = [(e, names.get(e.folder.lower(), -1)) for e in entries]
        return [pair for pair in found if pair[1] >= 0] or found


def evaluate(
    bundle: Path,
    images: LabelledImages,
    entries: Sequence[Entry],
    points: Sequence[int] | None = None,
    qualities: Sequence[int] = QUALITIES,
    head: HeadKind = "auto",
    advance: Callable[[int], None] = lambda frames: None,
    precision: Precision = "fp32",
    codecs: Sequence[str] = ("jpeg", "webp"),
) -> dict[str, Any]:
    """Measure a bundle; returns the JSON object of `narrows evaluate`.

    Accuracy is a share of labelled frames; where no folder matches a label it is None and
    `agreement` with the unsplit network stands alone. `packet_bytes` and `wire_bytes` are means:
    the packet's length, and that plus protobuf, gRPC and HTTP/2 framing.

    Raises:
        BundleError: the bundle does not hold together.
        SourceError: none of the photographs can be read.
    """
    subject = Subject(bundle, head, precision)
    chosen = points if points is not None else range(len(subject.manifest.operating_points))
    unsplit, skipped = Tally(), 0
    by_point = {point: Tally() for point in chosen}
    by_codec = {(kind, quality): Tally() for kind in codecs for quality in qualities}
    labelled = subject.targets(images, entries)
    for group, unread in _groups(images, labelled, subject.manifest):
        skipped += unread
        if not group:
            continue
        pictures = [picture for picture, _ in group]
        targets = np.array([target for _, target in group])
        truth = _unsplit(subject, pictures)
        agreed = truth.argmax(1)
        unsplit.add(truth, targets, agreed)
        for point, tally in by_point.items():
            tally.add(_split(subject, pictures, point, tally), targets, agreed)
        for (kind, quality), tally in by_codec.items():
            tally.add(_uploaded(subject, pictures, kind, quality, tally), targets, agreed)
        advance(len(group))
    if not unsplit.frames:
        raise SourceError(f"{images.root}: none of {len(labelled)} photographs could be read")
    known = any(target >= 0 for _, target in labelled)
    return {
        "frames": unsplit.frames,
        "skipped": skipped,
        "unsplit_accuracy": unsplit.right / unsplit.frames if known else None,
        "points": [{"id": p} | _row(t, known, "packet_bytes") for p, t in by_point.items()],
        **{
            codec: [
                {"quality": q} | _row(t, known, "bytes")
                for (k, q), t in by_codec.items()
                if k == codec
            ]
            for codec in codecs
        },
    }


def _row(tally: Tally, known: bool, bytes_key: str) -> dict[str, Any]:
    return {
        "accuracy": tally.right / tally.frames if known else None,
        "agreement": tally.agreeing / tally.frames,
        bytes_key: tally.payload_bytes / tally.frames,
        "wire_bytes": tally.wire_bytes / tally.frames,
    }


def _groups(
    images: LabelledImages, labelled: list[tuple[Entry, int]], manifest: Manifest
) -> Iterator[tuple[list[tuple[Picture, int]], int]]:
    """Runs of at most BATCH neighbours of one size, with the number of unreadable ones before."""
    spec, group, unread = manifest.input, [], 0  # type: ignore[var-annotated]
    for entry, target in labelled:
        try:
            picture = resize_and_crop(images.image(entry.name), spec.short_side, spec.max_aspect)
        except SourceError:
            unread += 1
            continue
        if group and (len(group) == BATCH or group[0][0].shape != picture.shape):
            yield group, unread
            group, unread = [], 0
        group.append((picture, target))
    yield group, unread


def _size(picture: Picture) -> tuple[int, int]:
    return picture.shape[0], picture.shape[1]


def _unsplit(subject: Subject, pictures: Sequence[Picture]) -> NDArray:
    padded = [pad_to_stride(p, subject.manifest.input.stride) for p in pictures]
    return subject.tail.run_unsplit(np.stack(padded))


def _split(subject: Subject, pictures: Sequence[Picture], point: int, tally: Tally) -> NDArray:
    packets = []
    for picture in pictures:
        latent = subject.head.run(pad_to_stride(picture, subject.manifest.input.stride))
        packet = subject.codec.encode(latent, point)
        tally.add_bytes(packet, message_bytes(packet=packet, size=_size(picture)))
        packets.append(bitstream.parse(packet))
    return subject.tail.run(np.stack([whole(d) for d in subject.codec.decode(packets)]))


def whole(decoded: NDArray[np.float32] | PacketError) -> NDArray[np.float32]:
    """Nothing was lost on a wire here: an error is a bug of the coder."""
    if isinstance(decoded, PacketError):
        raise decoded
    return decoded


def _uploaded(
    subject: Subject, pictures: Sequence[Picture], kind: str, quality: int, tally: Tally
) -> NDArray:
    received = []
    for picture in pictures:
        data = encode_picture(picture, kind, quality)
        tally.add_bytes(data, message_bytes(image=data, size=_size(picture)))
        received.append(np.array(Image.open(io.BytesIO(data)).convert("RGB")))
    return _unsplit(subject, received)
