"""The exact product of matrices over the integers modulo p: secret shares made and put together.

p is a Mersenne prime, 2^31 - 1 or 2^61 - 1, where reducing is adding the high bits to the low ones.
Native where the extension is built, sums being reduced once in a few products (lazy reduction:
Dumas, Giorgi, Pernet, "Dense linear algebra over word-size prime fields: the FFLAS and FFPACK
packages", ACM TOMS 2008); else by limbs in float64.
"""

import numpy as np
from numpy.typing import NDArray

from narrows.kernels.field import limbs

try:
    from narrows.kernels import _native
except ImportError:
    _native = None  # type: ignore[assignment]

P31 = 2**31 - 1
P61 = 2**61 - 1

Field = NDArray[np.uint64]


def matmul(a: Field, b: Field, p: int, threads: int = 1, isa: str = "") -> Field:
    """uint64 (m, k) by uint64 (k, n), entries below p -> their product modulo p, uint64 (m, n).

    p: P31 or P61. `threads` and `isa` (an instruction set by name; else `NARROWS_ISA` or the
    processor chooses) are the native kernel's; BLAS has its own threads.

    Raises:
        ValueError: another dtype, shapes that do not fit, another p, an entry not below p, or
            less than one thread.
    """
    bits = _checked(a, b, p)
    if threads < 1:
        raise ValueError(f"expected at least one thread, got {threads}")
    if _native is None or 0 in (*a.shape, *b.shape):  # native code checks what it multiplies
        return matmul_limbs(a, b, p)
    out = np.empty((a.shape[0], b.shape[1]), np.uint64)
    if not _native.field_matmul(_ready(a), _ready(b), bits, threads, isa, out):
        _check_entries(a, p)
        _check_entries(b, p)
    return out


def matmul_limbs(a: Field, b: Field, p: int) -> Field:
    """The same by limbs in float64: what `matmul` does where the extension is not built.

    Raises:
        ValueError: as `matmul`.
    """
    bits = _checked(a, b, p)
    _check_entries(a, p)
    _check_entries(b, p)
    return limbs.product(a, b, bits)


def _checked(a: Field, b: Field, p: int) -> int:
    """p's bits, of factors that fit."""
    if p not in (P31, P61):
        raise ValueError(f"expected p to be 2^31 - 1 or 2^61 - 1, got {p}")
    for factor in (a, b):
        if factor.dtype != np.uint64 or factor.ndim != 2:
            raise ValueError(f"expected a uint64 matrix, got {factor.dtype} {factor.shape}")
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"expected (m, k) by (k, n), got {a.shape} by {b.shape}")
    return p.bit_length()


def _check_entries(factor: Field, p: int) -> None:
    if factor.size and (largest := factor.max()) >= p:
        raise ValueError(f"expected entries below {p}, got {largest}")


def _ready(factor: Field) -> Field:
    """The matrix as native code takes it."""
    flags = factor.flags
    return factor if flags.c_contiguous and flags.aligned else factor.copy()


__all__ = ["P31", "P61", "matmul", "matmul_limbs"]
