"""A frame's features to a packet and back, at any of a bundle's operating points."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from narrows.codec.bitstream import Packet, PacketHeader, serialise
from narrows.codec.inter import CONTEXTS, Reference, Symbols, steady
from narrows.codec.manifest import INTER_TABLES, Manifest
from narrows.codec.tables import CodingTables
from narrows.errors import (
    BundleError,
    CorruptPayload,
    MissingReference,
    PacketError,
    ShapeError,
)
from narrows.kernels import coder, cuda
from narrows.kernels.coder import EncodedPayload
from narrows.kernels.cuda.head import Head as GpuHead


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
        self,
        digest_prefix: bytes,
        points: Sequence[PointCoding],
        max_latent: tuple[int, int],
        inter: Sequence[CodingTables] = (),
    ):
        """`max_latent`: the largest (height, width) this codec accepts, before any allocation.

        `inter`: a point's C x CONTEXTS tables for frames coded against the one before; or none.
        """
        self.digest_prefix = digest_prefix
        self.points = tuple(points)
        self.max_latent = max_latent
        self.inter = tuple(inter)

    @property
    def channels(self) -> int:
        return self.points[0].tables.channels

    def encode(self, latent: NDArray[np.float32], point: int) -> bytes:
        """float32 (C, height, width) -> a packet.

        Raises:
            ShapeError: no such operating point, other channels, or a latent that is too large.
        """
        self._check_latent(latent, point)
        coding = self.points[point]
        coded = coder.encode_latent(latent, coding.gain, coding.median, coding.tables.arrays)
        height, width = latent.shape[1:]
        return serialise(point, self.digest_prefix, height, width, coded)

    def encode_on_gpu(self, picture: NDArray[np.uint8], head: GpuHead, point: int) -> bytes:
        """uint8 RGB (height, width, 3) -> the packet `encode` makes of that head's latent.

        Raises:
            ShapeError: as `encode`. HeadError: a picture or bundle that the head is not for.
            RuntimeError: from CUDA.
        """
        _, height, width = head.plan.latent_shape(picture)
        self._check(point, height, width)
        coding = self.points[point]
        coded = head.encode(picture, coding.gain, coding.median, coding.tables.arrays)
        return serialise(point, self.digest_prefix, height, width, coded)

    def quantise(
        self, latent: NDArray[np.float32], point: int, reference: Reference | None = None
    ) -> Symbols:
        """float32 (C, height, width) -> int16, steady against a frame before. Raises ShapeError."""
        self._check_latent(latent, point)
        gain, median = self.points[point].gain, self.points[point].median
        symbols = coder.quantise(latent, gain, median)
        if reference is None:
            return symbols
        scaled = latent * gain[:, None, None] - median[:, None, None]
        return steady(symbols, scaled, reference)

    def encode_symbols(
        self, symbols: Symbols, point: int, reference: Reference | None = None
    ) -> bytes:
        """int16 (C, height, width) -> a packet, inter where there is a reference that fits it.

        Raises:
            ShapeError: no such operating point, or a latent that is too large.
        """
        height, width = symbols.shape[1:]
        self._check(point, height, width)
        if reference is None:
            coded = coder.encode(symbols, self.points[point].tables.arrays)
            return serialise(point, self.digest_prefix, height, width, coded)
        coded = reference.encode(symbols, self.inter[point])
        return serialise(point, self.digest_prefix, height, width, coded, reference.checksum)

    def check(self, header: PacketHeader) -> None:
        """Whether a packet of that header can be decoded here; cheap, allocates nothing.

        Raises:
            ShapeError: an operating point or latent size that this bundle does not have.
            MissingReference: an inter packet, for which this bundle has no tables.
        """
        self._check(header.point, header.height, header.width)
        if header.reference is not None and not self.inter:
            raise MissingReference("an inter packet: this bundle has no tables for it: send keys")

    def decode_symbols(self, packet: Packet, reference: Reference | None = None) -> Symbols:
        """A packet -> int16 (C, height, width).

        Raises:
            ShapeError: a point or size this bundle does not have.
            MissingReference: an inter packet, and `reference` is not what it was coded against.
            CorruptPayload: an impossible payload.
        """
        header = packet.header
        self.check(header)
        coded = EncodedPayload(packet.payload, header.lanes, header.tail)
        if header.reference is None:
            tables = self.points[header.point].tables.arrays
            try:
                return coder.decode(
                    coded.payload, tables, header.height, header.width, coded.lanes, coded.tail
                )
            except coder.CorruptStream as error:
                raise CorruptPayload(f"the payload does not decode: {error}") from None
        shape = (self.channels, header.height, header.width)
        if reference is None or (reference.point, reference.symbols.shape) != (header.point, shape):
            raise MissingReference("coded against a frame that is not here: send a key frame")
        reference.require(header.reference)
        return reference.decode(coded, self.inter[header.point])

    def dequantise(self, symbols: Symbols, point: int) -> NDArray[np.float32]:
        """int16 (C, height, width) -> float32, what `decode` gives."""
        coding = self.points[point]
        return coder.dequantise(symbols, coding.inverse_gain, coding.median)

    def decode(
        self, packets: Sequence[Packet], threads: int = 1
    ) -> list[NDArray[np.float32] | PacketError]:
        """Packets of one operating point and latent size -> each float32 (C, h, w) or an error.

        Raises:
            ValueError: packets of different points or sizes, or inter packets.
        """
        if not packets:
            return []
        first = _common_header(packets)
        try:
            self.check(first)
        except ShapeError as error:
            return [error] * len(packets)
        coding, coded = self.points[first.point], _coded(packets)
        tables, inverse_gain = coding.tables.arrays, coding.inverse_gain
        latents, errors = coder.decode_latents(
            coded, tables, inverse_gain, coding.median, first.height, first.width, threads
        )
        return [
            latent if error is None else CorruptPayload(f"the payload does not decode: {error}")
            for latent, error in zip(latents, errors, strict=True)
        ]

    def decode_on_gpu(
        self, packets: Sequence[Packet], out: Any, stream: int = 0
    ) -> list[PacketError | None]:
        """As `decode`, into float32 (packets, C, h, w) on a GPU, any array that speaks DLPack.

        stream: the CUDA stream's handle. Gives an error, or None, for each; the latent of one with
        an error is zeros.

        Raises:
            ShapeError: a point or size this bundle does not have.
            ValueError: packets of different points or sizes, inter packets, or another `out`.
            RuntimeError: from CUDA, or built without it.
        """
        if not packets:
            return []
        first = _common_header(packets)
        self.check(first)
        coding = self.points[first.point]
        tables, inverse_gain = coding.tables.arrays, coding.inverse_gain
        errors = cuda.decode_batch(
            _coded(packets), tables, inverse_gain, coding.median, out, stream
        )
        return [
            None if error is None else CorruptPayload(f"the payload does not decode: {error}")
            for error in errors
        ]

    def _check_latent(self, latent: NDArray[np.float32], point: int) -> None:
        if latent.ndim != 3 or latent.shape[0] != self.channels:
            raise ShapeError(
                f"expected a latent ({self.channels}, height, width), got {latent.shape}"
            )
        self._check(point, *latent.shape[1:])

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


def _common_header(packets: Sequence[Packet]) -> PacketHeader:
    """The first one's; raises ValueError where others differ, or need references."""
    first = packets[0].header
    if any(_kind(p.header) != _kind(first) for p in packets):
        raise ValueError("packets of one call must share operating point and latent size")
    if any(p.header.reference is not None for p in packets):
        raise ValueError("inter packets need their references: decode_symbols takes them")
    return first


def _coded(packets: Sequence[Packet]) -> list[tuple[bytes, int, int]]:
    return [(p.payload, p.header.lanes, p.header.tail) for p in packets]


def _kind(header: PacketHeader) -> tuple[int, int, int]:
    return header.point, header.height, header.width


def load_frame_codec(bundle: Path, manifest: Manifest) -> FrameCodec:
    """The tables and gains of every operating point of a bundle. Raises BundleError."""
    limit = (manifest.latent.max_height, manifest.latent.max_width)
    inter = bundle / INTER_TABLES if INTER_TABLES in manifest.files else None
    return load(bundle / "tables.safetensors", manifest.digest_prefix, limit, inter)


def load(
    path: Path, digest_prefix: bytes, max_latent: tuple[int, int], inter: Path | None = None
) -> FrameCodec:
    """Read `tables.safetensors`, and `inter_tables.safetensors` if given.

    Raises:
        BundleError: tensors are missing or do not fit.
    """
    arrays = _tensors(path)
    for name in ("gain", "inverse_gain", "median"):
        if name not in arrays or arrays[name].ndim != 2 or arrays[name].dtype != np.float32:
            raise BundleError(f"{path}: expected a float32 tensor {name} (points, channels)")
        if not arrays[name].size or arrays[name].shape != arrays["gain"].shape:
            raise BundleError(f"{path}: {name} {arrays[name].shape}: expected gain's, not empty")
        if not np.isfinite(arrays[name]).all():
            raise BundleError(f"{path}: {name} holds numbers that are not finite")
    gains = (arrays["gain"], arrays["inverse_gain"], arrays["median"])
    points = [_point(path, arrays, i, *rows) for i, rows in enumerate(zip(*gains, strict=True))]
    tables = () if inter is None else _inter(inter, len(points), points[0].tables.channels)
    return FrameCodec(digest_prefix, points, max_latent, tables)


def _tensors(path: Path) -> dict[str, NDArray]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: not a safetensors file: {error}") from None


def _inter(path: Path, points: int, channels: int) -> list[CodingTables]:
    arrays = _tensors(path)
    try:
        tables = [CodingTables.from_arrays(arrays, f"p{i}.") for i in range(points)]
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None
    if any(t.channels != channels * CONTEXTS for t in tables):
        raise BundleError(f"{path}: expected {channels} x {CONTEXTS} tables for every point")
    return tables


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
