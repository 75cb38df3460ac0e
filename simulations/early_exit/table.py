"""What every way to answer makes of every photograph: bytes, right or wrong, how sure.

One row a photograph, so that simulations and calibrations can draw frames without a network.
"""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from narrows.codec import bitstream
from narrows.edge.encoder import encode_picture
from narrows.edge.policy.exit import ExitAnswer, ExitHead
from narrows.edge.wire import message_bytes
from narrows.errors import ConfigError, SourceError
from narrows.images.labelled import Entry, LabelledImages
from narrows.images.preprocess import pad_to_stride, resize_and_crop
from narrows.simulations.evaluation import Subject, whole

QUALITIES = (30, 60, 90)  # of JPEG: what a device without a head would send


@dataclass(frozen=True, eq=False)
class Table:
    """Columns over n photographs."""

    packet_bytes: NDArray[np.float64]  # (n, points), with framing
    packet_right: NDArray[np.bool_]
    image_bytes: NDArray[np.float64]  # (n, qualities), with framing
    image_right: NDArray[np.bool_]
    image_s: NDArray[np.float64]  # (n, qualities): what the device took to encode it
    full_right: NDArray[np.bool_]  # (n,): the unsplit network on the uncompressed picture
    own: tuple[ExitAnswer, ...]  # the device's own
    own_right: NDArray[np.bool_]  # (n,)
    qualities: tuple[int, ...] = QUALITIES


def measure(
    bundle: Path, exit_head: ExitHead, images: LabelledImages, entries: Sequence[Entry]
) -> Table:
    """Run everything on every labelled photograph. Raises NarrowsError."""
    subject = Subject(bundle)
    rows = []
    labelled = [pair for pair in subject.targets(images, entries) if pair[1] >= 0]
    for entry, target in track(labelled, "measuring", console=Console(stderr=True), transient=True):
        try:
            picture = resize_and_crop(
                images.image(entry.name),
                subject.manifest.input.short_side,
                subject.manifest.input.max_aspect,
            )
        except SourceError:
            continue
        rows.append(_row(subject, exit_head, picture, target))
    if not rows:
        raise ConfigError(f"{images.root}: no photograph whose label the bundle knows")
    packets, pictures, full, own, own_right = zip(*rows, strict=True)
    return Table(
        np.array([[sent.wire_bytes for sent in row] for row in packets], float),
        np.array([[sent.right for sent in row] for row in packets]),
        np.array([[sent.wire_bytes for sent in row] for row in pictures], float),
        np.array([[sent.right for sent in row] for row in pictures]),
        np.array([[sent.encoding_s for sent in row] for row in pictures]),
        np.array(full),
        own,
        np.array(own_right),
    )


class _Sent(NamedTuple):
    wire_bytes: int
    right: bool
    encoding_s: float = 0.0


def _row(
    subject: Subject, exit_head: ExitHead, picture: NDArray[np.uint8], target: int
) -> tuple[list[_Sent], list[_Sent], bool, ExitAnswer, bool]:
    padded = pad_to_stride(picture, subject.manifest.input.stride)
    latent = subject.head.run(padded)
    size = picture.shape[0], picture.shape[1]
    packets, pictures = list[_Sent](), list[_Sent]()
    for point in range(len(subject.manifest.operating_points)):
        packet = subject.codec.encode(latent, point)
        decoded = subject.codec.decode([bitstream.parse(packet)])
        answer = subject.tail.run(np.stack([whole(d) for d in decoded]))
        right = bool(answer[0].argmax() == target)
        packets.append(_Sent(message_bytes(packet=packet, size=size), right))
    for quality in QUALITIES:
        started = time.perf_counter()
        data = encode_picture(picture, "jpeg", quality)
        took_s = time.perf_counter() - started
        seen = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
        seen = pad_to_stride(seen, subject.manifest.input.stride)
        right = bool(subject.tail.run_unsplit(seen[None])[0].argmax() == target)
        pictures.append(_Sent(message_bytes(image=data, size=size), right, took_s))
    full = bool(subject.tail.run_unsplit(padded[None])[0].argmax() == target)
    own = exit_head.answer(latent)
    return packets, pictures, full, own, own.index == target
