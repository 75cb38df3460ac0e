"""Which values of a Reed-Solomon codeword are wrong, by Gao's algorithm.

Values at n points of a polynomial of degree below `threshold`, up to A = (n - threshold) // 2 of
them wrong, determine it. Welch and Berlekamp's key equation, f(x_i) v(x_i) = y_i v(x_i) with v
vanishing at the wrong points, is solved by half of Euclid's algorithm on g0 = prod (x - x_i) and
the interpolant g1 of the values: Gao, "A new algorithm for decoding Reed-Solomon codes" (2003).
O(n**2) in Python's integers; polynomials are lists of coefficients, lowest first, [] being zero.
"""

from collections.abc import Sequence

Polynomial = list[int]


def wrong_positions(
    points: Sequence[int], values: Sequence[int], threshold: int, p: int
) -> set[int] | None:
    """Indices of the wrong values; None when more than A are, and that shows."""
    found = decode(points, values, threshold, p)
    if found is None:
        return None
    wrong = {i for i, x in enumerate(points) if _at(found, x, p) != values[i]}
    return wrong if 2 * len(wrong) <= len(points) - threshold else None


def decode(
    points: Sequence[int], values: Sequence[int], threshold: int, p: int
) -> Polynomial | None:
    """The polynomial of degree < threshold within A wrong values, or None if there is none."""
    remainder_before, remainder = _all_roots_and_interpolant(points, values, p)
    locator_before, locator = [], [1]
    while 2 * (len(remainder) - 1) >= len(points) + threshold:
        quotient, rest = _divide(remainder_before, remainder, p)
        remainder_before, remainder = remainder, rest
        subtrahend = _multiply(quotient, locator, p)
        locator_before, locator = locator, _subtract(locator_before, subtrahend, p)
    message, rest = _divide(remainder, locator, p)
    return message if not rest and len(message) <= threshold else None


def _all_roots_and_interpolant(
    points: Sequence[int], values: Sequence[int], p: int
) -> tuple[Polynomial, Polynomial]:
    """g0 and g1 in one pass, as Newton's interpolation needs the products of (x - x_i) anyway."""
    roots: Polynomial = [1]
    interpolant: Polynomial = []
    for x, y in zip(points, values, strict=True):
        step = (_at(interpolant, x, p) - y) * pow(_at(roots, x, p), -1, p)
        interpolant = _subtract(interpolant, [c * step for c in roots], p)
        roots = _multiply(roots, [-x, 1], p)
    return roots, interpolant


def _at(polynomial: Polynomial, x: int, p: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * x + coefficient) % p
    return value


def _subtract(a: Polynomial, b: Polynomial, p: int) -> Polynomial:
    longer = max(len(a), len(b))
    a, b = a + [0] * (longer - len(a)), b + [0] * (longer - len(b))
    return _trimmed([(x - y) % p for x, y in zip(a, b, strict=True)])


def _multiply(a: Polynomial, b: Polynomial, p: int) -> Polynomial:
    result = [0] * max(0, len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            result[i + j] += x * y
    return _trimmed([c % p for c in result])


def _divide(a: Polynomial, b: Polynomial, p: int) -> tuple[Polynomial, Polynomial]:
    """Quotient and remainder of a by b, b not zero."""
    quotient, rest = [0] * max(0, len(a) - len(b) + 1), list(a)
    leading = pow(b[-1], -1, p)
    for shift in range(len(quotient) - 1, -1, -1):
        factor = quotient[shift] = rest[shift + len(b) - 1] * leading % p
        for j, y in enumerate(b):
            rest[shift + j] = (rest[shift + j] - factor * y) % p
    return _trimmed(quotient), _trimmed(rest)


def _trimmed(polynomial: Polynomial) -> Polynomial:
    while polynomial and polynomial[-1] == 0:
        polynomial.pop()
    return polynomial
