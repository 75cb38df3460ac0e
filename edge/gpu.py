"""Where a device's int8 head runs: on an NVIDIA GPU that is faster and computes the same, or here.

A GPU that fails, at the start or on any frame, is told of once, and the CPU goes on without it.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from narrows.kernels import coder, cuda

if TYPE_CHECKING:
    from narrows.edge.head import HeadRunner

log = logging.getLogger(__name__)
T = TypeVar("T")
Picture = NDArray[np.uint8]
RUNS = 7  # of either head before a device starts
SETTLE = 2  # more before them: memory is allocated, clocks rise


@dataclass(frozen=True, eq=False)
class Choice:
    """A head, on what it runs, and the reason for people; `sound`: no GPU here is out of order."""

    head: "HeadRunner"
    where: str
    why: str
    sound: bool = True


class UntilItFails:
    """Work for the GPU, done again on the CPU where that fails, and there alone from then on."""

    def __init__(self) -> None:
        self._failed = False

    def run(self, on_gpu: Callable[[], T], on_cpu: Callable[[], T]) -> T:
        """What either gives; RuntimeError, which is CUDA's, never leaves the GPU's."""
        if not self._failed:
            try:
                return on_gpu()
            except RuntimeError as error:
                self._failed = True
                log.warning("the GPU failed (%s): the CPU goes on without it", error)
        return on_cpu()


class GpuHead:
    """A head on the GPU, with the CPU's for when that fails."""

    def __init__(self, on_gpu: "HeadRunner", on_cpu: "HeadRunner"):
        self._on_gpu, self._on_cpu, self._gpu = on_gpu, on_cpu, UntilItFails()

    def run(self, image: Picture) -> NDArray[np.float32]:
        """uint8 RGB (height, width, 3), sides multiples of the stride -> latent (C, h, w)."""
        return self._gpu.run(lambda: self._on_gpu.run(image), lambda: self._on_cpu.run(image))


def choose_head(on_cpu: "HeadRunner", load_on_gpu: Callable[[], "HeadRunner"], side: int) -> Choice:
    """The faster head on a picture of `side` pixels; the CPU's unless the GPU's latent is equal."""
    here = coder.instruction_set()
    if not cuda.available():
        why = (
            "built without CUDA" if cuda._cuda is None else "no GPU answers that this has code for"
        )
        return Choice(on_cpu, here, why)
    picture = _picture(side)
    try:
        on_gpu = load_on_gpu()
        equal = np.array_equal(on_gpu.run(picture), on_cpu.run(picture))
        gpu_ms, cpu_ms = _median_ms(on_gpu, picture), _median_ms(on_cpu, picture)
    except (RuntimeError, ValueError) as error:  # CUDA's, or a head that stays on the CPU
        return _unsound(on_cpu, here, f"the GPU cannot run it: {error}")
    if not equal:
        return _unsound(on_cpu, here, "the GPU's latent is not the CPU's")
    told = f"{gpu_ms:.2f} ms on the GPU, {cpu_ms:.2f} ms by {here}"
    if gpu_ms < cpu_ms:
        return Choice(GpuHead(on_gpu, on_cpu), "cuda", told)
    return Choice(on_cpu, here, told)


def _unsound(on_cpu: "HeadRunner", here: str, why: str) -> Choice:
    log.warning("%s: the head runs on the CPU", why)
    return Choice(on_cpu, here, why, sound=False)


def _picture(side: int) -> Picture:
    """Noise, the same everywhere: every multiply-add counts."""
    numbers = np.arange(side * side * 3, dtype=np.uint32) * np.uint32(2_654_435_761)
    return (numbers >> np.uint32(24)).astype(np.uint8).reshape(side, side, 3)


def _median_ms(head: "HeadRunner", picture: Picture) -> float:
    times = []
    for _ in range(SETTLE + RUNS):
        began = time.perf_counter()
        head.run(picture)
        times.append(1e3 * (time.perf_counter() - began))
    return sorted(times[SETTLE:])[RUNS // 2]
