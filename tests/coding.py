"""Tables and symbols for coder tests."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from narrows.codec.tables import CodingTables
from narrows.kernels import coder
from narrows.kernels.coder import reference


def laplace_tables(scales: list[float], reach: int = 200) -> CodingTables:
    values = np.arange(-reach, reach + 1)
    pmfs = [np.exp(-np.abs(values) / scale) for scale in scales]
    return CodingTables.from_pmfs(pmfs, [-reach] * len(scales))


def laplace_symbols(scales: list[float], height: int, width: int, seed: int = 0) -> np.ndarray:
    """Symbols that follow laplace_tables' discrete law: a difference of two geometrics."""
    rng = np.random.default_rng(seed)
    odds = [1 - np.exp(-1 / scale) for scale in scales]
    rows = [rng.geometric(p, (height, width)) - rng.geometric(p, (height, width)) for p in odds]
    return np.clip(np.stack(rows), -32768, 32767).astype(np.int16)


def counts_of(shape: tuple[int, ...]) -> np.ndarray:
    """The rows of a frame (channels, height, width)."""
    return np.full(shape[0], shape[1] * shape[2], np.uint64)


def by_reference(symbols: np.ndarray, tables: coder.TableArrays, lanes: int):
    return reference.encode(symbols.ravel(), counts_of(symbols.shape), tables, lanes)


def decoded(implementation, coded: coder.EncodedPayload, tables: coder.TableArrays, shape):
    """A payload's symbols, of that shape, by the default coder or by the reference."""
    if implementation is coder:
        return coder.decode(coded.payload, tables, *shape[1:], coded.lanes, coded.tail)
    found = reference.decode(coded.payload, counts_of(shape), tables, coded.lanes, coded.tail)
    return found.reshape(shape)


@st.composite
def frames(draw: st.DrawFn) -> tuple[CodingTables, np.ndarray]:
    """Any small frame under any tables: symbols may all lie outside their table."""
    channels = draw(st.integers(1, 4))
    height, width = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    pmfs, offsets = [], []
    for _ in range(channels):
        size = draw(st.integers(1, 40))
        pmfs.append(draw(hnp.arrays(np.float64, size, elements=st.floats(1e-9, 1.0))))
        offsets.append(draw(st.integers(-32768, 32767 - size)))
    anything = st.integers(-32768, 32767)
    near = st.integers(max(-32768, offsets[0] - 3), min(32767, offsets[0] + 43))
    symbols = draw(
        hnp.arrays(np.int16, (channels, height, width), elements=st.one_of(anything, near))
    )
    return CodingTables.from_pmfs(pmfs, offsets), symbols
