"""Who shares with whom: N parties, K segments, T colluders, degree D, and the threshold R."""

from collections.abc import Iterator
from dataclasses import dataclass

from narrows.errors import ConfigError
from narrows.sharing.field import MERSENNE_61, check_prime


@dataclass(frozen=True)
class SharingParameters:
    """A session's code. With K = 1 and D = 1 it is Shamir's (T + 1 of N) sharing.

    Raises:
        ConfigError: a parameter out of its range, more responses needed than there are parties,
            or a field with too few elements for the points; it names the bound and the numbers.
    """

    parties: int  # N: each holds shares of all, and answers or not
    segments: int  # K: secrets packed into one polynomial
    privacy: int  # T: so many parties together learn nothing
    degree: int  # D: total degree, in data and weights, of what is computed on shares
    prime: int = MERSENNE_61

    def __post_init__(self) -> None:
        for name in ("parties", "segments", "privacy", "degree"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        check_prime(self.prime)
        if self.recovery_threshold > self.parties:
            raise ConfigError(
                f"recovery threshold R = D(K+T-1)+1 = {self.degree}*({self.segments}+"
                f"{self.privacy}-1)+1 = {self.recovery_threshold} must be at most the number of "
                f"parties N = {self.parties}: fewer segments or more parties"
            )
        if self.points >= self.prime:
            raise ConfigError(
                f"N+K+T = {self.points} distinct non-zero points need a prime above "
                f"{self.points}, not {self.prime}"
            )

    @property
    def share_degree(self) -> int:
        """Degree K+T-1 of the polynomial that data and models are shared by."""
        return self.segments + self.privacy - 1

    @property
    def recovery_threshold(self) -> int:
        """R = D(K+T-1)+1: so many right responses determine the sums."""
        return self.degree * self.share_degree + 1

    @property
    def stragglers(self) -> int:
        """S = N-R: so many parties may never answer."""
        return self.parties - self.recovery_threshold

    @property
    def points(self) -> int:
        return self.parties + self.segments + self.privacy

    def correctable(self, responses: int) -> int:
        """A: so many wrong ones among that many responses are corrected, as R + 2A must come."""
        return max(0, responses - self.recovery_threshold) // 2


def widest_code(
    parties: int,
    stragglers: int,
    privacy: int,
    degree: int,
    wrong: int = 0,
    prime: int = MERSENNE_61,
) -> SharingParameters:
    """The code of most segments K for N parties of which S may stay silent and A be wrong.

    N >= D(K+T-1)+1+S+2A gives K = (N-S-2A-1) // D - T + 1.

    Raises:
        ConfigError: not even one segment is possible.
    """
    segments = (parties - stragglers - 2 * wrong - 1) // degree - privacy + 1
    if segments < 1:
        needed = degree * privacy + 1 + stragglers + 2 * wrong
        raise ConfigError(
            f"{parties} parties cannot do S={stragglers}, T={privacy}, D={degree}, A={wrong}: "
            f"one segment needs N >= D*T+1+S+2A = {needed}"
        )
    return SharingParameters(parties, segments, privacy, degree, prime)


def feasible_codes(
    parties: int, degrees: tuple[int, ...] = (2, 4)
) -> Iterator[tuple[int, SharingParameters]]:
    """The table of feasible (S, T, D) for N parties, as pairs of S and the widest code."""
    for degree in degrees:
        for privacy in range(1, (parties - 1) // degree + 1):
            for stragglers in range(parties - degree * privacy):
                yield stragglers, widest_code(parties, stragglers, privacy, degree)
