"""The native extension's face; see native.cc."""

import numpy as np
from numpy.typing import NDArray

Frames = list[tuple[bytes, int, int]]  # payload, lanes, tail
Symbols = NDArray[np.int16]
Floats = NDArray[np.float32]
Counts = NDArray[np.uint64]

class Tables:
    def __init__(
        self, offsets: NDArray[np.int32], lengths: NDArray[np.int32], cdf: NDArray[np.uint16]
    ) -> None: ...

def isa() -> str: ...
def isas() -> list[str]: ...
def encode_rows(
    symbols: Symbols, counts: Counts, tables: Tables, lanes: int, isa: str
) -> tuple[bytes, int, int]: ...
def encode_latent(
    latent: Floats, gain: Floats, median: Floats, tables: Tables, lanes: int, isa: str
) -> tuple[bytes, int, int]: ...
def encode_latents(
    latents: Floats,
    gain: Floats,
    median: Floats,
    tables: Tables,
    lanes: int,
    threads: int,
    isa: str,
) -> list[tuple[bytes, int, int]]: ...
def decode_rows(
    frames: Frames, counts: Counts, tables: Tables, out: Symbols, threads: int, isa: str
) -> list[str | None]: ...
def decode_latents(
    frames: Frames,
    inverse_gain: Floats,
    median: Floats,
    tables: Tables,
    out: Floats,
    threads: int,
    isa: str,
) -> list[str | None]: ...
def cost_bits(symbols: Symbols, counts: Counts, tables: Tables) -> float: ...
def crc32c(data: bytes) -> int: ...
def field_matmul(
    left: NDArray[np.uint64],
    right: NDArray[np.uint64],
    bits: int,
    threads: int,
    isa: str,
    out: NDArray[np.uint64],
) -> bool: ...

class Head:
    def __init__(self, plan: object, isa: str) -> None: ...
    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]: ...
    def run(self, picture: NDArray[np.uint8], latent: Floats) -> None: ...
