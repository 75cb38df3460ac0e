"""The CUDA extension's face; see bind.cc. Latents are DLPack arrays on the coder's GPU."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

class Coder:
    def __init__(
        self,
        device: int,
        offsets: NDArray[np.int32],
        lengths: NDArray[np.int32],
        cdf: NDArray[np.uint16],
        area: int,
    ) -> None: ...
    def encode(
        self,
        latents: Any,
        gain: Floats,
        median: Floats,
        lanes: int,
        slot_bytes: int,
        stream: int,
    ) -> list[tuple[bytes, int, int, int]]: ...
    def decode(
        self,
        frames: list[tuple[bytes, int, int]],
        inverse_gain: Floats,
        median: Floats,
        out: Any,
        stream: int,
    ) -> list[int]: ...

class Head:
    def __init__(self, device: int, plan: object) -> None: ...
    def run(self, picture: NDArray[np.uint8], latent: Floats) -> None: ...
    def encode(
        self,
        picture: NDArray[np.uint8],
        symbols: int,
        coder: Coder,
        gain: Floats,
        median: Floats,
    ) -> tuple[bytes, int, int]: ...

def devices() -> int: ...
def device_of(array: Any) -> int: ...
def field_matmul(left: Any, right: Any, bits: int, out: Any, stream: int) -> bool: ...
