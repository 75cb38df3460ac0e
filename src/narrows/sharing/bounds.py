"""The overflow proof of a session: before it starts, no decoded sum can reach p/2.

Residues wrap around silently: a sum beyond p/2 decodes to a wrong number without a sign of it. So
the largest |sum| that any data and weights in range can make is computed, in Python's integers:

    |sum_n prod_i (x_n . w_ni)|  <=  sum_n (d_n * X * W)**F  <  p/2

with d_n columns at holder n, and X, W the largest quantised data and weight. It is attained, at
all entries extreme and of one sign, so nothing larger than the bound may be promised.
"""

from dataclasses import dataclass
from itertools import count

from narrows.errors import ConfigError
from narrows.sharing.evaluation import degree_of
from narrows.sharing.fixed_point import FixedPoint
from narrows.sharing.parameters import SharingParameters


@dataclass(frozen=True)
class SessionBounds:
    """What one session computes, proved to fit its field when it is made.

    Raises:
        ConfigError: the factors' degree is not the code's, a holder has no columns, there are more
            holders than parties, or a sum could reach p/2; it names the bound and the numbers.
    """

    parameters: SharingParameters
    data: FixedPoint
    weights: FixedPoint
    columns: tuple[int, ...]  # d_n of every holder
    factors: int = 1  # F, the linear maps multiplied

    def __post_init__(self) -> None:
        if degree_of(self.factors) != self.parameters.degree:
            raise ConfigError(
                f"a product of {self.factors} linear maps has degree {degree_of(self.factors)}, "
                f"but the code is made for D = {self.parameters.degree}"
            )
        if not 1 <= len(self.columns) <= self.parameters.parties or min(self.columns) < 1:
            raise ConfigError(
                f"columns {list(self.columns)}: expected at least one for each of 1 to "
                f"N = {self.parameters.parties} holders"
            )
        if 2 * self.largest_sum >= self.parameters.prime:
            raise ConfigError(
                f"the largest sum, over {len(self.columns)} holders with {max(self.columns)} "
                f"columns at most, sum_n (d_n * {self.data.largest} * {self.weights.largest})"
                f"**{self.factors} = {self.largest_sum}, must be below p/2 = "
                f"{self.parameters.prime // 2}: take {self.excess_bits} bits off the result's "
                f"scale of {self.scale_bits}, or narrow the ranges of data or weights"
            )

    @property
    def largest_sum(self) -> int:
        """The largest absolute value of a decoded sum, in steps of the result's scale."""
        unit = self.data.largest * self.weights.largest
        # int: a count of columns of numpy's kind would overflow in the very proof against it
        return sum((int(columns) * unit) ** self.factors for columns in self.columns)

    @property
    def scale_bits(self) -> int:
        """The result's scale: F * (data's + weights')."""
        return self.factors * (self.data.scale_bits + self.weights.scale_bits)

    @property
    def excess_bits(self) -> int:
        """By how many bits the largest sum is too wide for its field; 0 when it fits."""
        return next(
            bits for bits in count() if 2 * self.largest_sum >> bits < self.parameters.prime
        )

    @property
    def quantisation_error(self) -> float:
        """The largest |decoded sum - sum in real numbers| of values in range.

        A column's product is off by at most e = X dw + W dx + dx dw (dx, dw half a step), a
        holder's result by (d (XW + e))**F - (d XW)**F, which is d e times a sum of F products.
        """
        x, w, f = self.data.limit, self.weights.limit, self.factors
        dx, dw = self.data.rounding_error, self.weights.rounding_error
        off = x * dw + w * dx + dx * dw
        products = sum((x * w + off) ** i * (x * w) ** (f - 1 - i) for i in range(f))
        return float(off * products * sum(d**f for d in self.columns))
