"""Every picture through every subject; and the device's time, all subjects taking turns."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from narrows.errors import SourceError
from narrows.images.labelled import Entry, LabelledImages
from narrows.images.preprocess import resize_and_crop
from narrows.simulations.rate_distortion.codecs import Picture
from narrows.simulations.rate_distortion.curve import Curve, Sample
from narrows.simulations.rate_distortion.subjects import Subject

BATCH = 20
TIMED = 40  # pictures whose encoding is timed


@dataclass(frozen=True)
class Frames:
    """Preprocessed pictures and their class indices."""

    pictures: list[Picture]
    targets: NDArray[np.int64]

    def batches(self) -> Iterator[tuple[list[Picture], NDArray[np.int64]]]:
        """At most BATCH neighbours of one size."""
        at = 0
        for _, same in groupby(self.pictures, key=lambda picture: picture.shape):
            group = list(same)
            for start in range(0, len(group), BATCH):
                part = group[start : start + BATCH]
                yield part, self.targets[at : at + len(part)]
                at += len(part)


def read_frames(
    images: LabelledImages,
    entries: Sequence[Entry],
    folders: Sequence[str],
    side: int,
    aspect: float,
) -> Frames:
    """Pictures of known classes. Raises SourceError where there is none."""
    index = {folder: i for i, folder in enumerate(folders)}
    pairs = []
    for entry in entries:
        if entry.folder in index:
            try:
                picture = resize_and_crop(images.image(entry.name), side, aspect)
            except SourceError:
                continue
            pairs.append((picture, index[entry.folder]))
    if not pairs:
        raise SourceError(f"{images.root}: no readable photograph of the classes {list(folders)}")
    return Frames([p for p, _ in pairs], np.array([t for _, t in pairs]))


def measure(
    method: str, subjects: Sequence[Subject], frames: Frames, advance: Callable[[int], None]
) -> Curve:
    """All points of a method's models, finest first; `advance` is told of pictures done."""
    samples = []
    for number, subject in enumerate(subjects):
        for point, name in enumerate(subject.points):
            right: list[NDArray[np.bool_]] = []
            sizes: list[int] = []
            for pictures, targets in frames.batches():
                sent = [subject.encode(picture, point) for picture in pictures]
                right.append(subject.answer(sent, point).argmax(1) == targets)
                sizes.extend(len(data) for data in sent)
                advance(len(pictures))
            shown = name if len(subjects) == 1 else f"{number}.{name}"
            samples.append(Sample(shown, np.concatenate(right), np.array(sizes)))
    first = subjects[0]
    return Curve(method, tuple(samples), first.macs, first.parameters, first.runtime)


def device_times(
    subjects: Mapping[str, Sequence[Subject]], frames: Frames
) -> dict[str, list[float]]:
    """Median milliseconds to encode one picture in memory, one thread, per method and point.

    All methods take turns picture by picture, so that a busy machine is busy for all.
    """
    flat = [
        (method, subject, point)
        for method, models in subjects.items()
        for subject in models
        for point in range(len(subject.points))
    ]
    taken: list[list[float]] = [[] for _ in flat]
    for picture in frames.pictures[:TIMED]:
        for index, (_, subject, point) in enumerate(flat):
            started = time.perf_counter()
            subject.encode(picture, point)
            taken[index].append(1e3 * (time.perf_counter() - started))
    found: dict[str, list[float]] = {method: [] for method in subjects}
    for (method, _, _), times in zip(flat, taken, strict=True):
        found[method].append(statistics.median(times))
    return found
