"""A latent coded under a mean-scale hyperprior (Minnen, Ballé & Toderici, NeurIPS 2018).

Two strings of docs/bitstream.md, one after the other: the
hyperlatent under a table per channel, then the latent, less its means, under the Gaussian table
that the integer synthesis names for each element. Elements travel sorted by table, which costs no
byte as the decoder knows every element's.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from narrows.codec.strings import fingerprint, seal, separated, unseal
from narrows.codec.synthesis import SCALES, IntegerSynthesis, scale_table
from narrows.codec.tables import CodingTables
from narrows.errors import BundleError, CorruptPayload, ShapeError, TruncatedPacket
from narrows.kernels import coder

DOUBLINGS = 4  # a hyperlatent's element stands for 4 x 4 of the latent
LIMIT = 0x7FFF  # largest symbol


def gaussian_tables() -> CodingTables:
    """One table per scale, zero mean: made once, at export, and read by both sides.

    exp and erfc differ in their last bits between processors, and the mass of k and -k is a tie
    that such a bit decides: tables made on two machines are two sets of tables.
    """
    pmfs, offsets = [], []
    for scale in scale_table():
        reach = max(2, math.ceil(6 * scale))
        edges = (np.arange(-reach, reach + 2) - 0.5) / (scale * math.sqrt(2))
        below = np.array([math.erfc(-edge) / 2 for edge in edges])
        pmfs.append(np.diff(below))
        offsets.append(-reach)
    return CodingTables.from_pmfs(pmfs, offsets)


class HyperCodec:
    """Latents to bytes and back; both sides need the same synthesis and tables."""

    def __init__(self, synthesis: IntegerSynthesis, hyper: CodingTables, gaussian: CodingTables):
        """Raises ShapeError: tables for another number of channels or scales."""
        if hyper.channels != synthesis.inputs or gaussian.channels != SCALES:
            raise ShapeError(
                f"tables for {hyper.channels} channels and {gaussian.channels} scales, expected "
                f"{synthesis.inputs} and {SCALES}"
            )
        self.synthesis, self.hyper, self.gaussian = synthesis, hyper, gaussian
        # Means come from the synthesis alone: without it in the checksum, another one with the same
        # scales would decode, to another latent.
        self._keys = fingerprint(hyper), fingerprint(gaussian) + synthesis.fingerprint()

    def to_arrays(self) -> dict[str, NDArray]:
        """Named arrays for a safetensors file: all that both sides must share, in integers."""
        tables = self.hyper.to_arrays("hyper.") | self.gaussian.to_arrays("gaussian.")
        return self.synthesis.to_arrays() | tables

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> "HyperCodec":
        """Read and check what `to_arrays` wrote. Raises BundleError."""
        hyper = CodingTables.from_arrays(arrays, "hyper.")
        gaussian = CodingTables.from_arrays(arrays, "gaussian.")
        try:
            return cls(IntegerSynthesis.from_arrays(arrays), hyper, gaussian)
        except ShapeError as error:
            raise BundleError(f"hyperprior: {error}: export the bundle again") from None

    def encode(self, latent: NDArray[np.float32], hyperlatent: NDArray[np.float32]) -> bytes:
        """float32 (C, h, w) and (hidden, ceil(h / 4), ceil(w / 4)) -> bytes.

        Raises:
            ShapeError: a latent of another form, or a hyperlatent that is not the latent's.
        """
        if latent.ndim != 3:
            raise ShapeError(f"expected a latent (channels, height, width), got {latent.shape}")
        _, height, width = latent.shape
        expected = (self.hyper.channels, *_hyper_size(height, width))
        if hyperlatent.shape != expected:
            raise ShapeError(f"expected a hyperlatent {expected}, got {hyperlatent.shape}")
        symbols = _integers(hyperlatent)
        counts = _counts(expected)
        coded = coder.encode_rows(symbols.reshape(-1), counts, self.hyper.arrays)
        first = seal(coded, counts, self._keys[0])
        means, index = self.synthesis.run(symbols, height, width)
        if means.shape != latent.shape:
            raise ShapeError(f"expected a latent {means.shape}, got {latent.shape}")
        order, counts = _by_table(index)
        residual = _integers(latent - means).reshape(-1)[order]
        coded = coder.encode_rows(residual, counts, self.gaussian.arrays)
        return first + seal(coded, counts, self._keys[1])

    def decode(self, data: bytes, height: int, width: int) -> NDArray[np.float32]:
        """The inverse, up to rounding: float32 (C, height, width).

        Raises:
            PacketError: bytes that `encode` did not write for this model and size.
        """
        strings = separated(data)
        if len(strings) != 2:
            raise TruncatedPacket(f"expected two strings, got {len(strings)}: resend")
        first, second = strings
        size = (self.hyper.channels, *_hyper_size(height, width))
        symbols = self._decoded(first, _counts(size), self.hyper, self._keys[0]).reshape(size)
        means, index = self.synthesis.run(symbols, height, width)
        order, counts = _by_table(index)
        residual = np.empty(means.size, np.int16)
        residual[order] = self._decoded(second, counts, self.gaussian, self._keys[1])
        return residual.reshape(means.shape).astype(np.float32) + means

    @staticmethod
    def _decoded(
        string: bytes, counts: NDArray[np.uint64], tables: CodingTables, key: bytes
    ) -> NDArray[np.int16]:
        coded = unseal(string, counts, key)
        packet = (coded.payload, coded.lanes, coded.tail)
        found, (error,) = coder.decode_rows([packet], counts, tables.arrays, 1)
        if error is not None:
            raise CorruptPayload(f"a string does not decode: {error}")
        symbols: NDArray[np.int16] = found[0]
        return symbols


def _hyper_size(height: int, width: int) -> tuple[int, int]:
    return -(-height // DOUBLINGS), -(-width // DOUBLINGS)


def _integers(values: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.rint(np.clip(values, -LIMIT, LIMIT)).astype(np.int16)


def _counts(shape: tuple[int, int, int]) -> NDArray[np.uint64]:
    return np.full(shape[0], shape[1] * shape[2], np.uint64)


def _by_table(index: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """The order that sorts elements by table, and how many each table has."""
    small = index.reshape(-1).astype(np.int16)  # numpy sorts 16 bits by radix
    return np.argsort(small, kind="stable"), np.bincount(small, minlength=SCALES).astype(np.uint64)
