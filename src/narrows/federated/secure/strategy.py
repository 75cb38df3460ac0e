"""The server's side in Flower: a strategy around another, which sees the mean and no more.

    strategy = SecureAggregation(FedAvg(), clipping_norm=1.0)
    strategy.start(grid, initial_arrays, num_rounds=10, timeout=600)

A round is two exchanges with the clients, training and unmasking, and a third between the two when
clients have vanished. A session begins with two more, `secure_keys` and `secure_shares`; mask keys
for later rounds come along with the updates, so only who vanished is asked for them again. All
waits end at their timeouts. When too few are left the round is skipped, the model stays as it is,
and the next round begins a new session with those that answer.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    Bulyan,
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedMedian,
    FedTrimmedAvg,
    FedXgbBagging,
    FedXgbCyclic,
    Krum,
    MultiKrum,
    QFedAvg,
    Strategy,
)

from narrows.errors import (
    ConfigError,
    IdentityError,
    NarrowsError,
    SealError,
    SessionError,
    SharingError,
    TooFewResponses,
)
from narrows.federated.secure.messages import (
    LEAST_CLIENTS,
    Begin,
    Confirmation,
    Deal,
    Deposit,
    MaskedUpdate,
    Member,
    Revealed,
    Roster,
    Told,
)
from narrows.federated.secure.mod import CONFIRM, KEYS, RECORD, SHARES, UNMASK, flat, told
from narrows.federated.secure.round import Round
from narrows.federated.secure.terms import UpdateTerms
from narrows.federated.secure.updates import Mean, Reals, mean
from narrows.sharing.randomness import permutation

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Told)

MOST_HOLDERS = 64  # of shares: what a client deals and opens does not grow beyond them
# They look at single updates, and there are none to look at.
NEED_SINGLE_UPDATES = (
    Bulyan,
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedMedian,
    FedTrimmedAvg,
    FedXgbBagging,
    FedXgbCyclic,
    Krum,
    MultiKrum,
    QFedAvg,
)
ROUND_ERRORS = (IdentityError, SealError, SessionError, SharingError)


@dataclass(frozen=True)
class RoundReport:
    """What became of a round. Bytes are those of secure aggregation, without the model's."""

    number: int
    asked: int  # clients that were asked to train
    survivors: int = 0  # whose updates are in the sum
    holders: int = 0  # whose shares opened it
    bytes_up: int = 0
    bytes_down: int = 0
    epsilon: float | None = None  # spent until now, where an accountant counts
    error: str = ""  # why the round was skipped


class SecureAggregation(Strategy):
    """Any strategy that averages, on sums that hide every client's part."""

    def __init__(
        self,
        strategy: Strategy,
        *,
        clipping_norm: float,
        levels: int = 127,
        kept: float = 1.0,
        largest_weight: int = 1,
        metrics: tuple[str, ...] = (),
        timeout: float = 600.0,
        weighted_by_key: str = "num-examples",
    ) -> None:
        """
        Parameters
        ----------
        strategy : Strategy
            What chooses the clients and makes the next model of the mean.
        clipping_norm : float
            An update's largest L2 norm; longer ones are shortened.
        levels : int
            A number of an update becomes one of 2 * levels + 1 steps.
        kept : float
            The share of the model's numbers that a round updates, drawn anew in each.
        largest_weight : int
            Examples count up to this many; 1: all clients weigh the same.
        metrics : tuple of str
            Of the training, to be averaged under the same masks; others do not reach the server.
        timeout : float
            Seconds to wait for keys, shares, confirmations and unmasking; `start` has training's.
        weighted_by_key : str
            The metric that holds a client's number of examples.

        Raises:
            ConfigError: a strategy that needs single updates, or privacy that would not hold.
        """
        inner: Strategy | None = strategy
        while inner is not None:
            if isinstance(inner, NEED_SINGLE_UPDATES):
                raise ConfigError(
                    f"{type(inner).__name__} looks at single updates, which secure aggregation "
                    "hides: use one that averages"
                )
            if getattr(inner, "entropy_coded", False):  # CompressedUpdates imports this module
                raise ConfigError(
                    "entropy-coded updates cannot be summed under masks: leave CompressedUpdates "
                    "out, and choose kept= and levels= of SecureAggregation instead"
                )
            inner = getattr(inner, "strategy", None)
        if not 0 < kept <= 1:
            raise ConfigError(f"kept must be above 0 and at most 1, not {kept}")
        if isinstance(strategy, DifferentialPrivacyClientSideFixedClipping) and (
            largest_weight != 1 or strategy.clipping_norm != clipping_norm
        ):
            raise ConfigError(
                "differential privacy needs largest_weight = 1 and the same clipping norm, "
                f"not {largest_weight}, and {clipping_norm} beside {strategy.clipping_norm}"
            )
        self.strategy = strategy
        self.reports: list[RoundReport] = []
        self._kept, self._norm, self._levels = kept, clipping_norm, levels
        self._largest_weight, self._metrics = largest_weight, metrics
        self._timeout, self._weighted_by_key = timeout, weighted_by_key
        self._roster: Roster | None = None
        self._names: dict[int, str] = {}  # node -> member of the roster
        self._tried: set[int] = set()  # nodes that were asked to be members
        self._deposits: dict[str, Deposit] = {}
        self._number = 0
        self._round: Round | None = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The other strategy's messages, each with the round's plan."""
        messages = list(self.strategy.configure_train(server_round, arrays, config, grid))
        self._grid, self._arrays, self._sent, self._round = grid, arrays, messages, None
        self._report = RoundReport(server_round, len(messages))
        if not messages:
            return []
        size = len(flat(arrays))
        terms = UpdateTerms(
            size,
            max(1, round(self._kept * size)),
            self._norm,
            self._levels,
            self._largest_weight,
            self._metrics,
            os.urandom(32),
        )
        try:
            ready = self._ready([message.metadata.dst_node_id for message in messages])
            self._number += 1
            self._round = Round(self._joined(), self._number, terms, ready)
        except ROUND_ERRORS as error:
            self._skip(error)
            return []
        plan = self._round.plan.encode()
        asked = []
        for message in messages:
            if self._names.get(message.metadata.dst_node_id) in ready:
                ours = {RECORD: ConfigRecord({"message": plan})}
                message.content = RecordDict({**message.content, **ours})
                asked.append(message)
        self._count(down=len(plan) * len(asked))
        return asked

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Unmask the sum, and let the other strategy aggregate its mean."""
        stand_ins: list[Message] = []
        if self._round is not None:
            try:
                stand_ins = self._stand_ins(self._mean(self._round, replies))
            except ROUND_ERRORS as error:
                self._skip(error)
        self._round = None
        arrays, metrics = self.strategy.aggregate_train(server_round, stand_ins)
        self.reports.append(replace(self._report, epsilon=self._epsilon()))
        return None if arrays is None else _typed(arrays, self._arrays), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the other strategy does; what evaluation replies is not masked."""
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """As the other strategy does."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    def summary(self) -> None:
        """Log what is hidden, then the other strategy's summary."""
        log.info(
            "secure aggregation: norm %s, %s levels, %s of the numbers, weights up to %s",
            self._norm, self._levels, self._kept, self._largest_weight,
        )  # fmt: skip
        self.strategy.summary()

    def _ready(self, nodes: list[int]) -> dict[str, Deposit]:
        """Deposits of those nodes that can take part; a new session when there are new nodes."""
        if self._roster is None or not self._tried.issuperset(nodes):
            self._begin(set(nodes) | set(self._grid.get_node_ids()))
        members = {node: self._names[node] for node in nodes if node in self._names}
        lacking = [node for node, name in members.items() if name not in self._deposits]
        self._deal(dict.fromkeys(lacking))
        return {n: self._deposits[n] for n in members.values() if n in self._deposits}

    def _begin(self, nodes: set[int]) -> None:
        """A new session, of all nodes that answer."""
        session = os.urandom(16)
        self._roster, self._names, self._deposits = None, {}, {}
        self._tried = nodes
        members, _ = self._ask(KEYS, {node: Begin(session) for node in nodes}, Member)
        if len({member.name for member in members.values()}) < len(members):
            raise SessionError("two nodes have credentials of the same device")
        if len(members) < LEAST_CLIENTS:
            raise TooFewResponses(
                f"{len(members)} of {len(nodes)} nodes answered with a key, and secure aggregation "
                f"needs at least {LEAST_CLIENTS}"
            )
        answered = list(members.items())
        drawn = [answered[place] for place in permutation(len(answered))]  # who holds shares
        self._names = {node: member.name for node, member in drawn}
        holders = min(len(drawn), MOST_HOLDERS)
        self._roster = Roster(session, tuple(member for _, member in drawn), holders)
        self._deal(dict.fromkeys(self._names, self._roster))

    def _deal(self, rosters: Mapping[int, Roster | None]) -> None:
        """Deposits of these nodes; who has lost the session's keys is asked anew next time."""
        asked = {node: Deal(roster) for node, roster in rosters.items()}
        deposits, refused = self._ask(SHARES, asked, Deposit)
        self._deposits |= {self._names[node]: deposit for node, deposit in deposits.items()}
        self._tried -= refused

    def _mean(self, this: Round, replies: Iterable[Message]) -> Mean:
        """Steps 1 to 4 of `round`."""
        for name in this.plan.names:
            del self._deposits[name]
        for node, masked in self._read(replies, MaskedUpdate)[0].items():
            name = self._names[node]
            try:
                this.accept(name, masked)
            except SharingError as error:
                log.warning("%s", error)
            else:
                self._deposits[name] = masked.deposit
        nodes = {name: node for node, name in self._names.items()}
        confirmed: dict[str, Confirmation] = {}
        if (survivors := this.ask_to_confirm()) is not None:
            asked = {nodes[holder]: survivors for holder in this.holders}
            answers, _ = self._ask(CONFIRM, asked, Confirmation)
            confirmed = {self._names[node]: answer for node, answer in answers.items()}
        unmask = {nodes[h]: ask for h, ask in this.ask_to_unmask(confirmed).items()}
        revealed, _ = self._ask(UNMASK, unmask, Revealed)
        sums = this.finish({self._names[node]: answer for node, answer in revealed.items()})
        if sums.wrong:
            log.warning("wrong shares were left out: %s", ", ".join(sums.wrong))
        counted = {"survivors": len(sums.survivors), "holders": len(sums.holders)}
        self._report = replace(self._report, **counted)  # type: ignore[arg-type]
        return mean(sums.head, sums.coordinates, this.plan.terms)

    def _stand_ins(self, found: Mean) -> list[Message]:
        """Replies as if from clients that all trained the mean.

        With differential privacy one for each that was sampled, and the sum divided by their
        number whoever vanished: that is what its noise is for.
        """
        count, update = 1, found.update
        if isinstance(self.strategy, DifferentialPrivacyClientSideFixedClipping):
            count = self.strategy.num_sampled_clients
            update = update * (found.weight / count)
        arrays = _moved(self._arrays, update)
        metrics = MetricRecord({self._weighted_by_key: found.weight / count, **found.metrics})
        content = RecordDict({"arrays": arrays, "metrics": metrics})
        return [Message(content, reply_to=self._sent[0]) for _ in range(count)]

    def _skip(self, error: NarrowsError) -> None:
        log.warning("round %s is skipped: %s: %s", self._report.number, type(error).__name__, error)
        self._report = replace(self._report, error=f"{type(error).__name__}: {error}")
        self._roster, self._round = None, None

    def _joined(self) -> Roster:
        if self._roster is None:
            raise SessionError("no session: no node answered")
        return self._roster

    def _epsilon(self) -> float | None:
        spent = getattr(self.strategy, "privacy_spent", lambda: None)()
        return None if spent is None else float(spent.epsilon)

    def _ask(
        self, action: str, asked: Mapping[int, Told], kind: type[T]
    ) -> tuple[dict[int, T], set[int]]:
        """What nodes answer in time, and who answered with an error."""
        if not asked:
            return {}, set()
        messages, total = [], 0
        for node, ask in asked.items():
            encoded = ask.encode()
            total += len(encoded)
            content = RecordDict({RECORD: ConfigRecord({"message": encoded})})
            messages.append(Message(content, node, f"query.{action}", ttl=self._timeout))
        self._count(down=total)
        return self._read(self._grid.send_and_receive(messages, timeout=self._timeout), kind)

    def _read(self, replies: Iterable[Message], kind: type[T]) -> tuple[dict[int, T], set[int]]:
        answers: dict[int, T] = {}
        refused = set()
        for reply in replies:
            node = reply.metadata.src_node_id
            if reply.has_error():
                log.warning("node %s: %s", node, reply.error.reason)
                refused.add(node)
                continue
            try:
                message = told(reply.content)
                answers[node] = kind.decode(message)
            except SessionError as error:
                log.warning("node %s: %s", node, error)
                refused.add(node)
            else:
                self._count(up=len(message))
        return answers, refused

    def _count(self, up: int = 0, down: int = 0) -> None:
        report = self._report
        self._report = replace(
            report, bytes_up=report.bytes_up + up, bytes_down=report.bytes_down + down
        )


def _typed(arrays: ArrayRecord, like: ArrayRecord) -> ArrayRecord:
    """Arrays in others' types: averaging makes numbers with a point of counters."""
    typed = {}
    for key, array in arrays.items():
        values, kind = array.numpy(), like[key].numpy().dtype
        if np.issubdtype(kind, np.integer):
            values = np.rint(values)
        typed[key] = Array(np.asarray(values.astype(kind)))
    return ArrayRecord(typed)


def _moved(arrays: ArrayRecord, update: Reals) -> ArrayRecord:
    """The arrays plus the update, in their own types; counters stay as they are."""
    moved, numbers, start = dict(arrays), flat(arrays) + update, 0
    for key, array in arrays.items():
        old = array.numpy()
        if np.issubdtype(old.dtype, np.floating):
            new = numbers[start : start + old.size].reshape(old.shape)
            moved[key] = Array(np.asarray(new.astype(old.dtype)))
            start += old.size
    return ArrayRecord(moved)
