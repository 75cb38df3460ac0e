"""Lagrange coding: secrets to shares, each sharing one matrix product.

Secret points beta_1..beta_K carry the segments, mask points beta_{K+1}..beta_{K+T} the masks, and
party n's share is the value at its evaluation point alpha_n. All points are distinct: an alpha
equal to a beta would hand a party a plain segment.

1. `share_segments`: K segments and T masks, interpolated by degree K+T-1 (once per table).
2. `share_replicated`: one secret at all K secret points, T masks (every round, a holder's model).
3. `share_zero`: a uniform polynomial of degree R-1 = D(K+T-1) that vanishes at the K secret points
   (every round, every holder; the sum of them re-randomises what the server sees).

Shamir, "How to share a secret" (1979); Yu et al., "Lagrange coded computing" (AISTATS 2019); the
zero-sharing is the re-randomisation of Ben-Or, Goldwasser and Wigderson (1988). Masks come from
the operating system's generator; `encode_*` take them as given, for proofs over all masks.
"""

from functools import cached_property

import numpy as np

from narrows.sharing import field
from narrows.sharing.field import Field
from narrows.sharing.interpolation import lagrange_matrix, vandermonde, vanishing
from narrows.sharing.parameters import SharingParameters
from narrows.sharing.randomness import uniform


class LagrangeCode:
    """The matrices of one session. Every array is uint64, entries below the session's prime."""

    def __init__(self, parameters: SharingParameters) -> None:
        self.parameters = parameters
        points = np.arange(1, parameters.points + 1, dtype=np.uint64)
        cuts = [parameters.segments, parameters.segments + parameters.privacy]
        self.secret_points, self.mask_points, self.evaluation_points = np.split(points, cuts)

    def share_segments(self, segments: Field) -> Field:
        """Shares (N, ...) of segments (K, ...) under fresh masks."""
        return self.encode_segments(segments, self._masks(segments.shape[1:]))

    def share_replicated(self, secret: Field) -> Field:
        """Shares (N, ...) of one secret (...) that stands at every secret point; fresh masks.

        A second sharing of the same secret under the same masks would tell what changed.
        """
        return self.encode_replicated(secret, self._masks(secret.shape))

    def share_zero(self, shape: tuple[int, ...]) -> Field:
        """Shares (N, ...) of a fresh zero-mask: it leaves the sums and hides all else."""
        freedom = self.parameters.recovery_threshold - self.parameters.segments
        return self.encode_zero(uniform((freedom, *shape), self.parameters.prime))

    def encode_segments(self, segments: Field, masks: Field) -> Field:
        """(K, ...) and (T, ...) to (N, ...)."""
        return self._times(self.encoder, np.concatenate([segments, masks]))

    def encode_replicated(self, secret: Field, masks: Field) -> Field:
        """(...) and (T, ...) to (N, ...)."""
        return self._times(self.replicated_encoder, np.concatenate([secret[None], masks]))

    def encode_zero(self, coefficients: Field) -> Field:
        """q's coefficients (R-K, ...), lowest first, to shares (N, ...) of l(z) * q(z)."""
        return self._times(self.zero_encoder, coefficients)

    @cached_property
    def encoder(self) -> Field:
        """(N, K+T): the segments' columns, then the masks'."""
        sources = np.concatenate([self.secret_points, self.mask_points])
        return lagrange_matrix(sources, self.evaluation_points, self.parameters.prime)

    @cached_property
    def replicated_encoder(self) -> Field:
        """(N, 1+T): the K equal segments' columns are one column, summed."""
        k = self.parameters.segments
        column = field.total(self.encoder[:, :k].T, self.parameters.prime)
        return np.concatenate([column[:, None], self.encoder[:, k:]], axis=1)

    @cached_property
    def zero_encoder(self) -> Field:
        """(N, R-K): l(alpha) * alpha**j, with l(z) = prod_{k<=K} (z - beta_k)."""
        p, at = self.parameters.prime, self.evaluation_points
        freedom = self.parameters.recovery_threshold - self.parameters.segments
        roots = vanishing(self.secret_points, at, p)
        return field.multiply(roots[:, None], vandermonde(at, freedom, p), p)

    def _masks(self, shape: tuple[int, ...]) -> Field:
        return uniform((self.parameters.privacy, *shape), self.parameters.prime)

    def _times(self, matrix: Field, rows: Field) -> Field:
        flat = np.ascontiguousarray(rows).reshape(rows.shape[0], -1)
        product = field.matmul(matrix, flat, self.parameters.prime)
        return product.reshape(matrix.shape[0], *rows.shape[1:])
