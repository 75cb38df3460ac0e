"""How long a replica's parts take, measured on a machine and kept as JSON with its name and date.

Samples, not averages: what is drawn from them has the spread that the machine had. A batch of a
size that was not measured lies between its neighbours', at the same quantile.
"""

import json
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from narrows.errors import ConfigError
from narrows.simulations.events.replay import Replayed

PICTURE = "picture"  # the group of frames that are pictures, which the whole network answers
Samples = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]

Ranks = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1)]


class ServiceTimes(BaseModel):
    """Milliseconds. `batch_ms`, `answer_ms`: by the frames of a batch; lists of times ascend.

    `replay` is what a simulated replica takes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str  # its digest
    machine: dict[str, Any]
    date: str
    device: str = "cpu"  # where the tail runs
    threads: int = Field(ge=1)  # of a replica
    max_batch: int = Field(ge=1)
    batch_ms: dict[int, Samples]  # of a batch in the worker's thread: decoding and the tail
    ranks: Ranks  # of consecutive batches under random arrivals, among those of their size
    handover_ms: Samples  # from one batch's end to the next one's start where frames wait
    answer_ms: dict[int, Samples]  # from the batch's end to the answer in the device's hands
    idle_ms: Samples  # from when a frame was due until a free replica has received it
    busy_ms: Samples  # ... until one that runs a batch has
    loop_ms: float = Field(ge=0)  # the event loop's processor time a frame: reading and answering
    head_ms: float = Field(ge=0)  # a frame's features on one whole core of this machine
    whole_ms: float | None = Field(ge=0)  # the whole network there; None: not measured
    encode_ms: dict[int, float]  # a picture's JPEG there, by quality; none: not measured
    picture_batch_ms: dict[int, Samples]  # as batch_ms, of pictures and the whole network

    @field_validator("batch_ms", "answer_ms")
    @classmethod
    def _ascending(cls, value: dict[int, Samples]) -> dict[int, Samples]:
        if not value:
            raise ValueError("expected samples by batch size, from 1 on")
        return _by_size(value)

    @field_validator("picture_batch_ms")
    @classmethod
    def _ascending_or_none(cls, value: dict[int, Samples]) -> dict[int, Samples]:
        return _by_size(value)

    @field_validator("handover_ms", "idle_ms", "busy_ms")
    @classmethod
    def _sorted(cls, value: Samples) -> Samples:
        return tuple(sorted(value))

    def replay(self, rng: Random) -> Replayed:
        """These times as one replica meets them."""
        return Replayed(self, rng)

    def batch_ns(self, size: int, group: Any, rank: float, rng: Random) -> int:
        """Of one batch: the thread has to be woken, then works, as long as `rank` of such do."""
        by_size = self.picture_batch_ms if group == PICTURE else self.batch_ms
        return _ns(rng.choice(self.handover_ms) + between(by_size, size, rank))

    def answer_ns(self, size: int, rng: Random) -> int:
        """Drawn for one answer out of such a batch."""
        return _ns(between(self.answer_ms, size, rng.random()))

    def arrival_ns(self, busy: bool, rng: Random) -> int:
        """Drawn for one frame."""
        return _ns(rng.choice(self.busy_ms if busy else self.idle_ms))

    def server_ms(self, quantile: float) -> float:
        """Of a frame that comes to a free replica, from its last byte's arrival to its answer."""
        parts = self.idle_ms, self.handover_ms, self.answer_ms[min(self.answer_ms)]
        alone = between(self.batch_ms, 1, quantile)
        return alone + sum(at_quantile(samples, quantile) for samples in parts)

    def encode_ms_of(self, quality: int) -> float:
        """A picture's JPEG on the device, between measured qualities in a straight line."""
        qualities = sorted(self.encode_ms)
        return float(np.interp(quality, qualities, [self.encode_ms[q] for q in qualities]))

    def most_per_second(self) -> float:
        """Frames a second of a replica whose batches are always full, by medians."""
        lost = at_quantile(self.handover_ms, 0.5)
        tail = max(1e3 * n / (lost + at_quantile(self.batch_ms[n], 0.5)) for n in self.batch_ms)
        return min(tail, 1e3 / self.loop_ms) if self.loop_ms else tail

    def save(self, path: Path) -> None:
        """Write as JSON, three decimals of a millisecond."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_rounded(self.model_dump()), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "ServiceTimes":
        """Raises ConfigError: not such a file; the message names the key."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ConfigError(f"service times {path}: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise ConfigError(f"service times {path.name}: {where}: {first['msg']}") from None


def between(by_size: Mapping[int, tuple[float, ...]], size: int, quantile: float) -> float:
    """A quantile of the samples of `size`, or, where there are none, of its neighbours' line.

    Beyond the largest measured size time grows in proportion, which is what a full machine does.
    """
    sizes = list(by_size)
    if size in by_size:
        return at_quantile(by_size[size], quantile)
    place = bisect_left(sizes, size)
    if place == 0:
        return at_quantile(by_size[sizes[0]], quantile)
    if place == len(sizes):
        return at_quantile(by_size[sizes[-1]], quantile) * size / sizes[-1]
    low, high = sizes[place - 1], sizes[place]
    share = (size - low) / (high - low)
    below, above = (at_quantile(by_size[n], quantile) for n in (low, high))
    return below + share * (above - below)


def at_quantile(ascending: tuple[float, ...], quantile: float) -> float:
    """Between samples in a straight line; 0 <= quantile <= 1."""
    place = quantile * (len(ascending) - 1)
    index = int(place)
    low = ascending[index]
    return low + (place - index) * (ascending[min(index + 1, len(ascending) - 1)] - low)


def _by_size(samples: dict[int, Samples]) -> dict[int, Samples]:
    if min(samples, default=1) < 1:
        raise ValueError("expected samples by batch size, from 1 on")
    return {size: tuple(sorted(samples[size])) for size in sorted(samples)}


def _ns(milliseconds: float) -> int:
    return round(milliseconds * 1e6)


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 3)
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
    return value
