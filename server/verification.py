"""Verified answers: a share of frames is computed again by other replicas; the majority is right.

So a replica whose memory, disk or processor went wrong without a sound, or whose networks somebody
altered, is found by what it says (consensus checks, as in decentralised inference). It is found
after the fact: a wrong answer that has gone out stays wrong.
"""

import io
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np
from google.protobuf.message import DecodeError
from PIL import Image

from narrows.codec import bitstream
from narrows.protos.narrows.v1 import inference_pb2
from narrows.protos.narrows.v1.inference_pb2 import Frame, Result

log = logging.getLogger(__name__)
KEPT = 8  # answers that wait for their check; while there are more, the newest are checked
# What batches of another size and processors of another kind may change.
SCORE, OVERLAP, SURE, MASK = 0.02, 0.9, 0.5, 0.01

Ask = Callable[..., Awaitable[dict[int, bytes | None]]]
Quarantine = Callable[[int, str], Awaitable[None]]


class SpotChecks:
    """A replica's random choice among the answers it gave."""

    def __init__(self, share: float):
        """`share` of the frames that stand alone: an inter packet is nothing without its stream."""
        self._share = share
        self._kept: deque[tuple[bytes, bytes]] = deque(maxlen=KEPT)

    def consider(self, frame: Frame, result: Result) -> None:
        """Maybe keep an answer."""
        if self._share and random.random() < self._share and _stands_alone(frame):
            self._kept.append((frame.SerializeToString(), result.SerializeToString()))

    def take(self) -> list[tuple[bytes, bytes]]:
        """Frames and the answers they got, serialised; each once."""
        kept, self._kept = list(self._kept), deque(maxlen=KEPT)
        return kept


class Verifier:
    """Has answers computed again and those quarantined who gave others than the most."""

    def __init__(self, computed_by: int, ask: Ask, quarantine: Quarantine):
        """`computed_by`: replicas, the one that answered included.

        `ask(frame, of)` gives these replicas' own answers, as far as they have any.
        """
        self._computed_by, self._ask, self._quarantine = computed_by, ask, quarantine
        self.checked = 0  # answers that another replica has computed too

    async def check(self, index: int, frame: bytes, answer: bytes, running: Sequence[int]) -> None:
        """Compare what replica `index` answered with what others of the `running` say."""
        others = random.sample([i for i in running if i != index], k=len(running) - 1)
        first, rest = others[: self._computed_by - 1], others[self._computed_by - 1 :]
        votes = {index: _parsed(answer)} | await self._votes(frame, first)
        self.checked += len(votes) > 1
        if dissenters(votes) == set():
            return
        votes |= await self._votes(frame, rest)  # somebody is wrong: everybody is heard
        wrong = dissenters(votes)
        if wrong is None:
            log.error("%d replicas, and no majority for any answer to a frame", len(votes))
        for each in wrong or ():
            agreed = len(votes) - len(wrong or ())
            await self._quarantine(each, f"{agreed} of {len(votes)} say otherwise of one frame")

    async def _votes(self, frame: bytes, of: Sequence[int]) -> dict[int, Result]:
        told = await self._ask(frame, of) if of else {}
        return {index: _parsed(answer) for index, answer in told.items() if answer}


def dissenters(votes: Mapping[int, Result]) -> set[int] | None:
    """Who does not agree with what more than half say; None where nothing is said by so many."""
    for answer in votes.values():
        agreeing = {index for index, other in votes.items() if agree(answer, other)}
        if 2 * len(agreeing) > len(votes):
            return set(votes) - agreeing
    return None


def agree(one: Result, other: Result) -> bool:
    """Whether two answers to one frame say the same, but for rounding.

    Equal ones do. Else probabilities and scores may differ by 0.02, boxes that both are sure of
    must overlap by 0.9, and 1 % of a mask's pixels may differ.
    """
    if all(getattr(one, name) == getattr(other, name) for name in _ANSWERS):
        return True
    return (
        all(one.HasField(name) == other.HasField(name) for name in _ANSWERS)
        and _labels_agree(one.classification, other.classification)
        and _boxes_agree(one.detections, other.detections)
        and _boxes_agree(other.detections, one.detections)
        and _masks_agree(one.segmentation, other.segmentation)
    )


_ANSWERS = ("classification", "detections", "segmentation")


def _labels_agree(one: inference_pb2.Classification, other: inference_pb2.Classification) -> bool:
    first = {label.index: label.probability for label in one.labels}
    second = {label.index: label.probability for label in other.labels}
    # Only the best are told: one that is missing has no more than the least of those.
    most_here, most_there = min(first.values(), default=0.0), min(second.values(), default=0.0)
    return all(
        first.get(index, most_here) + SCORE >= second.get(index, 0.0)
        and second.get(index, most_there) + SCORE >= first.get(index, 0.0)
        for index in first | second
    )


def _boxes_agree(one: inference_pb2.Detections, other: inference_pb2.Detections) -> bool:
    """Every box that `one` is sure of is among the other's."""
    return all(
        any(
            box.index == found.index
            and abs(box.score - found.score) <= SCORE
            and _overlap(box, found) >= OVERLAP
            for found in other.boxes
        )
        for box in one.boxes
        if box.score >= SURE
    )


def _overlap(one: inference_pb2.Detections.Box, other: inference_pb2.Detections.Box) -> float:
    """Intersection over union."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    common = max(width, 0.0) * max(height, 0.0)
    areas = [(box.x1 - box.x0) * (box.y1 - box.y0) for box in (one, other)]
    return common / max(sum(areas) - common, 1e-9)


def _masks_agree(one: inference_pb2.Segmentation, other: inference_pb2.Segmentation) -> bool:
    if one.png == other.png:
        return True
    try:
        first, second = (
            np.array(Image.open(io.BytesIO(m.png), formats=["PNG"])) for m in (one, other)
        )
    except (OSError, ValueError, SyntaxError):  # what Pillow makes of damaged files
        return False
    return first.shape == second.shape and float(np.mean(first != second)) <= MASK


def _parsed(answer: bytes) -> Result:
    """An empty one for bytes that are none: it agrees with no other."""
    try:
        return Result.FromString(answer)
    except DecodeError:
        return Result()


def _stands_alone(frame: Frame) -> bool:
    return bool(frame.image) or bitstream.parse(frame.packet).header.reference is None
