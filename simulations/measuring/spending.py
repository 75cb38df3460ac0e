"""Whose energy it was: the device's, by its share of the processor, and of that each stage's.

A sensor sees the whole machine, on which the server and the rest of the world run too. Above what
it spends at rest, its joules go with processor time:

    rate     = (joules - at rest) / (processor time - at rest)       joules a second of processor
    device   = rate * the device's own processor time
    a stage  = rate * its median time; where stages' clocks tell more than the processor did,
               because it had others to serve, each is cut in proportion
    other    = the device's remaining processor time: reading pictures, gRPC, the interpreter
    radio    = bytes up and down at its joules a byte: always a model, since the link is simulated
"""

from collections.abc import Mapping
from dataclasses import dataclass

from narrows.edge.energy.boards import Radio
from narrows.edge.energy.model import CpuTimeModel
from narrows.edge.energy.sensor import Sensor
from narrows.simulations.measuring.window import Spent

COMPUTING = ("preprocess", "head", "code", "network")  # stages in which the device computes
OTHER, RADIO = "other", "radio"
LEAST = 0.05  # of a window's processor time that must be left above rest


@dataclass(frozen=True)
class Work:
    """What devices did for some frames."""

    frames: int
    cpu_s: float  # of all devices, for all these frames
    stages_s: Mapping[str, float]  # of COMPUTING, by the clock, for all these frames
    up_bytes: float
    down_bytes: float


def rate_of(sensor: Sensor, place: int, spent: Spent, rest: Spent) -> float | None:
    """Joules that a second of processor takes above rest; `place`: the sensor's among the joules.

    None where a window is too short or too much like rest to tell.
    """
    if isinstance(sensor, CpuTimeModel):
        return sensor.board.core_w
    share = spent.seconds / rest.seconds
    busy_s = spent.machine_s - rest.machine_s * share
    if busy_s <= LEAST * spent.machine_s:
        return None
    return max(0.0, spent.joules[place] - rest.joules[place] * share) / busy_s


def joules_by_stage(rate: float, work: Work, radio: Radio) -> dict[str, float]:
    """Joules a frame of every stage, of the rest and of the radio; they sum to the frame's."""
    clocked_s = sum(work.stages_s.values())
    scale = min(1.0, work.cpu_s / clocked_s) if clocked_s else 0.0
    seconds = {stage: work.stages_s[stage] * scale for stage in COMPUTING if stage in work.stages_s}
    seconds[OTHER] = max(0.0, work.cpu_s - sum(seconds.values()))
    found = {stage: rate * taken_s / work.frames for stage, taken_s in seconds.items()}
    sent_j = work.up_bytes * radio.up_j + work.down_bytes * radio.down_j
    return found | {RADIO: sent_j / work.frames}
