"""A CompressAI model on this coder, switched on by one line:

    narrows.codec.compressai.accelerate(model)

`compress` and `decompress` then give the tensors that CompressAI's own round trip gives, in the
strings of docs/bitstream.md, in a fraction of the time. A string that was cut, changed or written
by another model is an error. Symbols saturate at 16 bits; arithmetic is float32.

Models that call CompressAI's coder themselves, symbol by symbol, as autoregressive ones do, keep
it. Needs CompressAI, which nothing else in this room may.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from compressai.entropy_models import EntropyBottleneck, EntropyModel, GaussianConditional
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.codec.strings import fingerprint, seal, unseal
from narrows.codec.tables import CodingTables
from narrows.errors import ConfigError, CorruptPayload
from narrows.kernels import coder

LIMIT = 0x7FFF  # largest symbol
FLANK = 4  # the rise, from the outermost frequency over 1, that tells how steep a flank is


def accelerate(model: nn.Module) -> nn.Module:
    """Give every EntropyBottleneck and GaussianConditional in `model` this coder; returns `model`.

    Weights, `state_dict` and `update` stay as they are, and doing it twice changes nothing. A class
    derived from these two keeps its own coder.

    Raises:
        ConfigError: no such module in `model`.
    """
    modules = list(model.modules())
    for module in modules:
        module.__class__ = _FASTER.get(type(module), type(module))
    if not any(isinstance(module, tuple(_FASTER.values())) for module in modules):
        raise ConfigError(
            f"expected a model with an EntropyBottleneck or a GaussianConditional, got "
            f"{type(model).__name__} without either: pass CompressAI's model itself"
        )
    return model


class FastEntropyBottleneck(EntropyBottleneck):
    """CompressAI's EntropyBottleneck, made by `accelerate`: one table per channel."""

    def compress(self, x: Tensor) -> list[bytes]:
        """Float (batch, channels, ...) -> a string per sample, on as many threads as torch uses.

        Raises:
            ValueError: before `update()`, or with other channels.
        """
        built = _built(self)
        channels = built.tables.channels
        if x.ndim < 2 or x.shape[1] != channels:
            raise ValueError(f"expected (batch, {channels}, ...), got {tuple(x.shape)}")
        area = math.prod(x.shape[2:])
        latents = _floats(x).reshape(len(x), channels, 1, area)
        counts, gain, median = np.full(channels, area, np.uint64), _ones(channels), _median(self)
        arrays, threads = built.tables.arrays, torch.get_num_threads()
        coded = coder.encode_latents(latents, gain, median, arrays, threads)
        return [seal(payload, counts, built.key) for payload in coded]

    def decompress(self, strings: Sequence[bytes], size: Sequence[int]) -> Tensor:
        """Strings -> float32 (batch, channels, *size), on as many threads as torch uses.

        Raises:
            PacketError: a string that `compress` did not write for this model and size.
            ValueError: before `update()`.
        """
        built = _built(self)
        channels, area = built.tables.channels, math.prod(size)
        counts = np.full(channels, area, np.uint64)
        coded = [unseal(s, counts, built.key) for s in strings]
        latents, errors = coder.decode_latents(
            [(c.payload, c.lanes, c.tail) for c in coded],
            built.tables.arrays,
            _ones(channels),
            _median(self),
            1,
            area,
            torch.get_num_threads(),
        )
        for index, error in enumerate(errors):
            if error is not None:
                raise CorruptPayload(f"string {index} does not decode: {error}")
        latent = torch.from_numpy(latents.reshape(len(strings), channels, *size))
        return latent.to(self._quantized_cdf.device)


class FastGaussianConditional(GaussianConditional):
    """CompressAI's GaussianConditional, made by `accelerate`: one table per scale.

    The decoder knows every symbol's scale, so symbols travel sorted by it: a stream changes tables
    only as often as there are scales, and grouping costs no byte.
    """

    def compress(self, inputs: Tensor, indexes: Tensor, means: Tensor | None = None) -> list[bytes]:
        """Float (batch, ...) and each one's scale index -> a string per sample.

        Raises:
            ValueError: before `update()`, other shapes, or indexes beyond the scale table.
        """
        if inputs.shape != indexes.shape or inputs.ndim < 2:
            raise ValueError(
                f"expected inputs and indexes of one shape (batch, ...), got "
                f"{tuple(inputs.shape)} and {tuple(indexes.shape)}"
            )
        built = _built(self)
        symbols = self.quantize(inputs, "symbols", means).clamp(-LIMIT, LIMIT).short()
        strings = []
        for values, index in zip(_rows(symbols), _rows(indexes), strict=True):
            order, counts = _by_table(index, built.tables.channels)
            coded = coder.encode_rows(values[order], counts, built.tables.arrays)
            strings.append(seal(coded, counts, built.key))
        return strings

    def decompress(
        self,
        strings: Sequence[bytes],
        indexes: Tensor,
        dtype: torch.dtype = torch.float,
        means: Tensor | None = None,
    ) -> Tensor:
        """Strings and (batch, ...) indexes -> the indexes' shape: `dtype`, or that of `means`.

        Raises:
            PacketError: a string that `compress` did not write for this model and these indexes.
            ValueError: before `update()`, or other than one string per sample.
        """
        if len(strings) != len(indexes) or indexes.ndim < 2:
            raise ValueError(
                f"expected a string for each of indexes (batch, ...), got {len(strings)} for "
                f"{tuple(indexes.shape)}"
            )
        built = _built(self)
        symbols = np.empty((len(strings), indexes[0].numel()), np.int32)
        for number, (string, index) in enumerate(zip(strings, _rows(indexes), strict=True)):
            order, counts = _by_table(index, built.tables.channels)
            coded = unseal(string, counts, built.key)
            packet = (coded.payload, coded.lanes, coded.tail)
            found, (error,) = coder.decode_rows([packet], counts, built.tables.arrays, 1)
            if error is not None:
                raise CorruptPayload(f"string {number} does not decode: {error}")
            symbols[number, order] = found[0]
        integers = torch.from_numpy(symbols).reshape(indexes.shape).to(self._quantized_cdf.device)
        restored: Tensor = self.dequantize(integers, means, dtype)
        return restored


_FASTER: dict[type[nn.Module], type[nn.Module]] = {
    EntropyBottleneck: FastEntropyBottleneck,
    GaussianConditional: FastGaussianConditional,
}


@dataclass(frozen=True, eq=False)
class _Built:
    """Tables, the tensor they were made from, and their fingerprint."""

    cdf: Tensor
    version: int
    tables: CodingTables
    key: bytes


_BUILT: WeakKeyDictionary[EntropyModel, _Built] = WeakKeyDictionary()  # outside of pickles


def _built(model: EntropyModel) -> _Built:
    """The model's tables, made again only where `update()` or a checkpoint has replaced them."""
    cdf, known = model._quantized_cdf, _BUILT.get(model)
    version = 0 if cdf.is_inference() else cdf._version
    if known is None or known.cdf is not cdf or known.version != version:
        tables = _tables(model)
        known = _BUILT[model] = _Built(cdf, version, tables, fingerprint(tables))
    return known


def _tables(model: EntropyModel) -> CodingTables:
    if not model._quantized_cdf.numel():
        raise ValueError("no tables yet: call update() on the model first")
    cdfs = model._quantized_cdf.cpu().numpy()
    lengths, offsets = model._cdf_length.cpu().numpy(), model._offset.cpu().numpy()
    # The last interval is CompressAI's own escape; ours is priced by what is cut off.
    rows = [np.diff(cdf[:length])[:-1] for cdf, length in zip(cdfs, lengths, strict=True)]
    pmfs = [_unfloored(row) for row in rows]
    return CodingTables.from_pmfs(pmfs, offsets.tolist())


def _unfloored(frequencies: NDArray[np.int32]) -> NDArray[np.float64]:
    """Frequencies whose ends fall on as steeply as the flanks before them.

    CompressAI gives every symbol a codepoint, taken from the rarest that have more, where a wide
    table's hundreds of outer symbols deserve a few together: taken at their word, they would make
    our escape dear to everyone.
    """
    mass = frequencies.astype(np.float64)
    for side in (mass, mass[::-1]):
        ones = int(np.argmax(side > 1))
        inner = int(np.argmax(side >= FLANK * side[ones]))
        if ones < inner:
            fall = (side[ones] / side[inner]) ** (1 / (inner - ones))
            side[:ones] = side[ones] * fall ** np.arange(ones, 0, -1)
    return mass


def _median(model: EntropyBottleneck) -> NDArray[np.float32]:
    return np.ascontiguousarray(_floats(model.quantiles)[:, 0, 1])


def _floats(tensor: Tensor) -> NDArray[np.float32]:
    """float32, from any device: one call, as each of torch's gives up the GIL and waits for it."""
    tensor = tensor if tensor.dtype == torch.float32 else tensor.float()
    floats: NDArray[np.float32] = tensor.numpy(force=True)
    return floats


def _ones(channels: int) -> NDArray[np.float32]:
    return np.ones(channels, np.float32)


def _rows(tensor: Tensor) -> NDArray[Any]:
    """(batch, ...) -> (batch, rest) as numpy."""
    rows: NDArray[Any] = tensor.detach().cpu().flatten(1).numpy()
    return rows


def _by_table(index: NDArray[Any], tables: int) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """The order that sorts symbols by table, and how many each table has."""
    if index.size and not 0 <= index.min() <= index.max() < tables:
        raise ValueError(f"expected indexes of {tables} tables, got {index.min()}..{index.max()}")
    small = index.astype(np.int16 if tables <= LIMIT else np.int32)  # numpy sorts 16 bits by radix
    counts = np.bincount(small, minlength=tables).astype(np.uint64)
    return np.argsort(small, kind="stable"), counts
