"""The entropy coders that run beside ours, each made for one workload.

A peer that works on symbols gets them ready: its time holds no rounding and no dequantising.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.simulations.bench.coder_workload import Workload


@dataclass(frozen=True)
class Coder:
    """`encode` returns what `decode` takes; the rest looks at these without being timed."""

    encode: Callable[[], Any]
    decode: Callable[[Any], Any]
    size: Callable[[Any], int]  # of what was encoded, in bytes, all images
    symbols: Callable[[Any], NDArray]  # of what was decoded, any shape
    images: int = 1  # coded by one call
    takes: str = "symbols"


def compressai_bottleneck(work: Workload) -> Any:
    """CompressAI's EntropyBottleneck as if trained on the workload's law."""
    import torch
    from compressai._CXX import pmf_to_quantized_cdf
    from compressai.entropy_models import EntropyBottleneck

    torch.set_num_threads(1)
    cdfs = [
        pmf_to_quantized_cdf([*pmf.tolist(), max(1e-9, 1 - pmf.sum())], 16) for pmf in work.pmfs
    ]
    lengths = [len(cdf) for cdf in cdfs]
    table = np.zeros((len(cdfs), max(lengths)), np.int32)
    for row, cdf in zip(table, cdfs, strict=True):
        row[: len(cdf)] = cdf
    model = EntropyBottleneck(len(cdfs)).eval().requires_grad_(False)
    model.quantiles[:, 0, 1] = torch.from_numpy(work.medians)
    model._quantized_cdf = torch.from_numpy(table)
    model._cdf_length = torch.tensor(lengths, dtype=torch.int32)
    model._offset = torch.tensor(work.reaches, dtype=torch.int32).neg()
    return model


def bottleneck_coder(model: Any, work: Workload) -> Coder:
    """An EntropyBottleneck, theirs or ours, from float32 tensor to float32 tensor."""
    import torch

    x = torch.from_numpy(work.latents[:1])
    size = x.shape[2:]
    medians = model._get_medians().reshape(-1, 1, 1)
    return Coder(
        lambda: model.compress(x),
        lambda strings: model.decompress(strings, size),
        lambda strings: sum(map(len, strings)),
        lambda found: torch.round(found - medians).numpy(),
        takes="latents",
    )


def _compressai(work: Workload) -> Coder:
    return bottleneck_coder(compressai_bottleneck(work), work)


def _constriction(work: Workload) -> Coder:
    """Its ANS coder with one ready-made table per channel, its fastest way."""
    import constriction

    Categorical, AnsCoder = (
        constriction.stream.model.Categorical,
        constriction.stream.stack.AnsCoder,
    )
    models = [Categorical(pmf, lazy=False, perfect=False) for pmf in work.pmfs]
    reaches = np.array(work.reaches, np.int32)[:, None]
    rows = work.symbols[0].reshape(len(models), -1) + reaches
    pairs = list(zip(rows[::-1], models[::-1], strict=True))

    def encode() -> NDArray[np.uint32]:
        coder = AnsCoder()
        for row, model in pairs:
            coder.encode_reverse(row, model)
        words: NDArray[np.uint32] = coder.get_compressed()
        return words

    def decode(words: NDArray[np.uint32]) -> NDArray:
        coder = AnsCoder(words)
        return np.stack([coder.decode(model, rows.shape[1]) for model in models])

    return Coder(encode, decode, lambda words: words.nbytes, lambda found: found - reaches)


def _torchac(work: Workload) -> Coder:
    """One CDF row per symbol, as its interface wants them; making them is not timed."""
    import torch

    with _on_stderr():
        import torchac

    torch.set_num_threads(1)
    channels, reach = len(work.pmfs), max(work.reaches)
    cdfs = np.zeros((channels, 2 * reach + 2))
    for row, pmf, own in zip(cdfs, work.pmfs, work.reaches, strict=True):
        row[1 + reach - own : 2 + reach + own] = np.cumsum(pmf)
        row[2 + reach + own :] = 1.0
    symbols = torch.from_numpy(work.symbols[0].reshape(channels, -1) + np.int16(reach))
    steps = 2 * reach + 1
    # Its 16-bit integers, at least one codepoint each: its own float path would redo this per call.
    points = np.rint(cdfs * (0x10000 - steps)).astype(np.int64) + np.arange(steps + 1)
    rows = torch.from_numpy(points.astype(np.uint16).view(np.int16))[:, None]
    rows = rows.expand(-1, symbols.shape[1], -1).contiguous()
    return Coder(
        lambda: torchac.encode_int16_normalized_cdf(rows, symbols),
        lambda data: torchac.decode_int16_normalized_cdf(rows, data),
        len,
        lambda found: found.numpy() - reach,
    )


@contextmanager
def _on_stderr() -> Iterator[None]:
    """Standard output, of child processes too, goes to standard error: torchac builds aloud."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _zstd(level: int) -> Callable[[Workload], Coder]:
    def make(work: Workload) -> Coder:
        """The symbols as bytes, where they fit, to a compressor of bytes."""
        import zstandard

        symbols = work.symbols[0]
        width = np.int8 if np.abs(symbols).max() <= 0x7F else np.int16
        data = symbols.astype(width).tobytes()
        packer, unpacker = zstandard.ZstdCompressor(level), zstandard.ZstdDecompressor()
        return Coder(
            lambda: packer.compress(data),
            unpacker.decompress,
            len,
            lambda found: np.frombuffer(found, width),
        )

    return make


PEERS: dict[str, Callable[[Workload], Coder]] = {
    "compressai": _compressai,
    "constriction": _constriction,
    "torchac": _torchac,
    "zstd -1": _zstd(1),
    "zstd -3": _zstd(3),
}
