"""A frame's features to a packet and back, at any of a bundle's operating points."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from narrows.codec.bitstream import Packet, PacketHeader, serialise
from narrows.codec.tables import CodingTables
from narrows.errors import BundleError, CorruptPayload, PacketError, ShapeError
from narrows.kernels import coder


@dataclass(frozen=True, eq=False)
class PointCoding:
    """One operating point: tables, and float32 (C,) gains and medians."""

    tables: CodingTables
    gain: NDArray[np.float32]
    inverse_gain: NDArray[np.float32]
    median: NDArray[np.float32]


class FrameCodec:
    """All operating points of one bundle; switching is an integer, nothing is reloaded."""

    def __init__(
        self, digest_prefix: bytes, points: Sequence[PointCoding], max_latent: tuple[int, int]
    ):
        """`max_latent`: the largest (height, width) this codec accepts, before any allocation."""
        self.digest_prefix = digest_prefix
        self.points = tuple(points)
        self.max_latent = max_latent

    @property
    def channels(self) -> int:
        return self.points[0].tables.channels

    def encode(self, latent: NDArray[np.float32], point: int) -> bytes:
        """float32 (C, height, width) -> a packet.

        Raises:
            ShapeError: no such operating point, other channels, or a latent that is too large.
        """
        if latent.ndim != 3 or latent.shape[0] != self.channels:
            raise ShapeError(
                f"expected a latent ({self.channels}, height, width), got {latent.shape}"
            )
        height, width = latent.shape[1:]
        self._check(point, height, width)
        coding = self.points[point]
        coded = coder.encode_latent(latent, coding.gain, coding.median, coding.tables.arrays)
        return serialise(point, self.digest_prefix, height, width, coded)

    def check(self, header: PacketHeader) -> None:
        """Whether a packet of that header can be decoded here; cheap, allocates nothing.

        Raises:
            ShapeError: an operating point or latent size that this bundle does not have.
        """
        self._check(header.point, header.height, header.width)

    def decode(
        self, packets: Sequence[Packet], threads: int = 1
    ) -> list[NDArray[np.float32] | PacketError]:
        """Packets of one operating point and latent size -> each float32 (C, h, w) or an error.

        Raises:
            ValueError: packets of different points or sizes.
        """
        if not packets:
            return []
        first = packets[0].header
        if any(_kind(p.header) != _kind(first) for p in packets):
            raise ValueError("packets of one call must share operating point and latent size")
        try:
            self.check(first)
        except ShapeError as error:
            return [error] * len(packets)
        coding = self.points[first.point]
        coded = [(p.payload, p.header.lanes, p.header.tail) for p in packets]
        tables, inverse_gain = coding.tables.arrays, coding.inverse_gain
        latents, errors = coder.decode_latents(
            coded, tables, inverse_gain, coding.median, first.height, first.width, threads
        )
        return [
            latent if error is None else CorruptPayload(f"the payload does not decode: {error}")
            for latent, error in zip(latents, errors, strict=True)
        ]

    def _check(self, point: int, height: int, width: int) -> None:
        if not 0 <= point < len(self.points):
            raise ShapeError(
                f"operating point {point}: this bundle has 0 to {len(self.points) - 1}"
            )
        if not (1 <= height <= self.max_latent[0] and 1 <= width <= self.max_latent[1]):
            limit = " x ".join(map(str, self.max_latent))
            raise ShapeError(
                f"a latent of {height} x {width}: this bundle accepts 1 x 1 to {limit}"
            )


def _kind(header: PacketHeader) -> tuple[int, int, int]:
    return header.point, header.height, header.width


def load(path: Path, digest_prefix: bytes, max_latent: tuple[int, int]) -> FrameCodec:
    """Read `tables.safetensors`. Raises BundleError when tensors are missing or do not fit."""
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: not a safetensors file: {error}") from None
    for name in ("gain", "inverse_gain", "median"):
        if name not in arrays or arrays[name].ndim != 2 or arrays[name].dtype != np.float32:
            raise BundleError(f"{path}: expected a float32 tensor {name} (points, channels)")
        if not arrays[name].size or arrays[name].shape != arrays["gain"].shape:
            raise BundleError(f"{path}: {name} {arrays[name].shape}: expected gain's, not empty")
        if not np.isfinite(arrays[name]).all():
            raise BundleError(f"{path}: {name} holds numbers that are not finite")
    gains = (arrays["gain"], arrays["inverse_gain"], arrays["median"])
    points = [_point(path, arrays, i, *rows) for i, rows in enumerate(zip(*gains, strict=True))]
    return FrameCodec(digest_prefix, points, max_latent)


def _point(
    path: Path, arrays: dict[str, NDArray], index: int, *rows: NDArray[np.float32]
) -> PointCoding:
    try:
        tables = CodingTables.from_arrays(arrays, f"p{index}.")
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None
    if any(row.shape != (tables.channels,) for row in rows):
        raise BundleError(
            f"{path}: point {index}: gains for {rows[0].shape}, tables for {tables.channels}"
        )
    return PointCoding(tables, *rows)
