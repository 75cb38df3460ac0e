"""A party once the terms are agreed: it shares, computes on shares, and learns from gradients."""

import os
from collections.abc import Iterable

import numpy as np

from narrows.edge.vertical.kept import Kept, Membership
from narrows.edge.vertical.local import Adam, LocalNetwork, Mlp, Product
from narrows.errors import SealError, SessionError, SharingError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.security.sealed import PartyKey
from narrows.sharing.fixed_point import Reals, dequantise
from narrows.sharing.party import (
    RoundShare,
    compute,
    elements,
    reals,
    share_round,
    share_table,
)
from narrows.sharing.schedule import Step

TABLE, ROUND = "table", "round"  # kinds of sealed messages


class Rounds:
    """One party's session. Everything that must outlive the process is in `kept`."""

    def __init__(self, membership: Membership, kept: Kept, begin: Reals | None = None) -> None:
        """`begin`: weights to begin with; random ones from the operating system by default.

        Random, since a server that knows all weights could solve the sums for the columns.
        """
        self.terms, self.index = membership.terms, membership.index
        self._kept = kept
        self._channel = membership.channel(PartyKey.load(kept.key))
        table, data = kept.table(), self.terms.bounds.data
        residues = data.quantise(table, self._p)
        x = dequantise(residues, data.scale_bits, self._p)  # what the shares are of
        self._x = self.terms.schedule.arrange(x)
        self._adam = Adam(self.terms.learning.rate, self.terms.bounds.weights.limit)
        resumed = kept.weights(self._adam)
        weights, self._learnt = resumed if resumed else (begin, 0)
        self._network = self._begin(weights)
        if not resumed:
            self._kept.keep_weights(self._network.weights, self._adam, self._learnt)
        self._shares = kept.shares()
        self._evaluated = max(self._learnt, kept.round())  # the last; none is computed twice

    def tables(self) -> pb.Tables:
        """Shares of the own table, sealed for each party; none where nothing is protected."""
        if not self.terms.protected:
            return pb.Tables(terms_digest=self.terms.digest)
        shares = share_table(self.terms, self._kept.table())
        return pb.Tables(
            terms_digest=self.terms.digest,
            sealed=[
                self._channel.seal(name, self._kind(TABLE), 0, share.tobytes())
                for name, share in zip(self.terms.parties, shares, strict=True)
            ],
        )

    def keep(self, asked: pb.Keep) -> pb.Kept:
        """Raises: SealError: the share cannot be opened. SharingError: it is none."""
        holder = self._party(asked.holder)
        columns, height = self.terms.bounds.columns[asked.holder], self.terms.schedule.height
        data = self._channel.open(holder, self._kind(TABLE), 0, asked.sealed)
        share = elements(data, height * columns, self._p).reshape(height, columns)
        self._shares[asked.holder] = share
        self._kept.keep_share(asked.holder, share)
        return pb.Kept()

    def share(self, asked: pb.Share) -> pb.Shares:
        """Learn, then share the weights and a zero-mask."""
        self.learn(asked.gradients)
        rows = len(self._step(asked.step).rows)
        texts = share_round(self.terms, self._network.weights, rows)
        sealed = [
            self._channel.seal(name, self._kind(ROUND), asked.round, text)
            for name, text in zip(self.terms.parties, texts, strict=True)
        ]
        return pb.Shares(round=asked.round, learnt_round=self._learnt, sealed=sealed)

    def evaluate(self, asked: pb.Evaluate) -> pb.Response | pb.Complaint:
        """The sum on shares, or which holders' shares are none.

        A round twice, with other holders in it, would tell what those alone computed.
        """
        if asked.round <= self._evaluated:
            raise SessionError(f"round {asked.round} again, after {self._evaluated}: refused")
        self._evaluated = asked.round
        self._kept.keep_round(asked.round)
        step, complaints = self._step(asked.step), []
        n = len(self.terms.parties)
        if len(asked.versions) != n or len(asked.sealed) != n:
            raise SessionError(f"{len(asked.sealed)} shares of the weights: expected {n}")
        shares: list[RoundShare | None] = []
        for holder, (version, sealed) in enumerate(zip(asked.versions, asked.sealed, strict=True)):
            try:
                shares.append(self._opened(holder, version, sealed, asked.round, len(step.rows)))
            except (SharingError, SealError):
                complaints.append(holder)
        if complaints:
            return pb.Complaint(round=asked.round, holders=complaints)
        data = [self._shares.get(holder, np.empty((0, 0), np.uint64)) for holder in range(n)]
        return pb.Response(
            round=asked.round,
            versions_digest=self.terms.versions_digest(asked.round, asked.versions),
            values=compute(self.terms, data, shares, step.rows).tobytes(),
        )

    def embed(self, asked: pb.Embed) -> pb.Embedding:
        """The own part of the sum in the clear, in a session that everybody agreed is plain."""
        if self.terms.protected:
            raise SessionError("asked for its part in the clear, in a session on shares")
        self.learn(asked.gradients)
        values = self._network.outputs(self._rows(self._step(asked.step)))
        return pb.Embedding(
            round=asked.round,
            learnt_round=self._learnt,
            values=values.astype("<f4").tobytes(),
        )

    def learn(self, gradients: Iterable[pb.Gradient]) -> None:
        """From those of rounds that it has not learnt from yet."""
        new = [gradient for gradient in gradients if gradient.round > self._learnt]
        for gradient in new:
            x = self._rows(self._step(gradient.step))
            upstream = reals(gradient.values, len(x) * self.terms.width).reshape(len(x), -1)
            self._adam.step(self._network.weights, self._network.gradient(x, upstream))
            self._learnt = gradient.round
        if new:
            self._kept.keep_weights(self._network.weights, self._adam, self._learnt)

    def _begin(self, weights: Reals | None) -> LocalNetwork:
        terms, columns = self.terms, self._x.shape[2]
        network: LocalNetwork
        if terms.hidden:
            network = Mlp.begin(columns, terms.width, terms.hidden, os.urandom(32))
        else:
            network = Product.begin(
                columns, sum(terms.bounds.columns), terms.width, terms.bounds.factors,
                os.urandom(32),
            )  # fmt: skip
        if weights is None:
            return network
        if weights.shape != network.weights.shape:
            raise SessionError(
                f"weights of shape {weights.shape}: this session's are {network.weights.shape}"
            )
        network.weights[:] = weights
        return network

    def _opened(
        self, holder: int, version: int, sealed: bytes, round: int, rows: int
    ) -> RoundShare | None:
        if not version:
            return None
        if holder not in self._shares or version > round:
            raise SharingError(f"no share of the table of party {holder}, or of a later round")
        sender = self._party(holder)
        data = self._channel.open(sender, self._kind(ROUND), version, sealed)
        if version == round:
            return RoundShare.decode(data, self.terms, holder, rows)
        width = 8 * self.terms.width  # of a round with other rows, perhaps: its mask is used up
        weights = width * self.terms.bounds.factors * self.terms.bounds.columns[holder]
        stale = RoundShare.decode(data, self.terms, holder, (len(data) - weights) // width)
        return RoundShare(stale.weights, None)

    def _rows(self, step: Step) -> Reals:
        """(K * b, d_n), in the order of the gradient's."""
        return self._x[:, step.rows].reshape(-1, self._x.shape[2])

    def _step(self, index: int) -> Step:
        if index >= len(self.terms.schedule):
            raise SessionError(
                f"step {index}: the schedule agreed on has {len(self.terms.schedule)}"
            )
        return self.terms.schedule.step(index)

    def _party(self, index: int) -> str:
        if index >= len(self.terms.parties):
            raise SessionError(f"party {index}: there are {len(self.terms.parties)}")
        return self.terms.parties[index]

    def _kind(self, kind: str) -> str:
        return f"{kind}/{self.terms.digest.hex()}"

    @property
    def _p(self) -> int:
        return self.terms.bounds.parameters.prime
