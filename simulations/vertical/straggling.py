"""`narrows bench straggling`: what vertical training learns, and how long it waits for stragglers.

Every way of waiting sees the same records in the same order, begins with the same weights, and
meets the same delays. Accuracy is of held-out records; time is virtual (`stragglers`).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from narrows.errors import ConfigError
from narrows.server.vertical.plan import Plan
from narrows.server.vertical.top import Learner
from narrows.server.vertical.waiting import Waiting, rule
from narrows.sharing.evaluation import degree_of
from narrows.sharing.parameters import SharingParameters, widest_code
from narrows.sharing.terms import Terms
from narrows.simulations.vertical.datasets import LIMIT, SETS, VerticalData, load_vertical
from narrows.simulations.vertical.report import OURS, print_figures, write_csv
from narrows.simulations.vertical.stragglers import (
    KINDS,
    Clock,
    Round,
    Stragglers,
    in_the_clear,
    on_shares,
)
from narrows.simulations.vertical.system import (
    Epoch,
    Party,
    PlainSums,
    SharedSums,
    begin,
    centralised,
    train,
)

PARTY_HIDDEN = 32  # of the plain parties that have a hidden layer
CURVE = ("ends_s", "loss", "accuracy", "served")  # an epoch's figures
TARGET_BELOW = 0.005  # of central training's last accuracy


@dataclass(frozen=True)
class Setting:
    """How a set is learnt: written down once, after one run each on breast_cancer and mfeat."""

    epochs: int
    batch: int  # records a round, about
    width: int = 16
    rate: float = 0.003
    hidden: tuple[int, ...] = (32,)


SMALL, LARGE = Setting(20, 32), Setting(6, 128)
SETTINGS = {
    "breast_cancer": SMALL,
    "digits": Setting(10, 32, 32),
    "parkinsons": SMALL,
    "compas": LARGE,
    "credit_default": LARGE,
    "adult": LARGE,
    "bank_marketing": LARGE,
    "mfeat": Setting(10, 32, 32),
    "caltech7": Setting(10, 32, 32, 0.001),
    "fashion": Setting(8, 128, 64),
}


@dataclass(frozen=True)
class Asked:
    """What is asked for."""

    data: Path | None
    sets: tuple[str, ...]
    parties: tuple[int, ...]
    straggling: tuple[str, ...]
    stragglers: int | None  # S; None: a fifth of the parties
    privacy: int
    factors: int
    delay_ms: float
    deadline_ms: float
    compute_ms: float
    epochs: int | None
    records: int | None
    seeds: int

    def __post_init__(self) -> None:
        for what, names, known in (("set", self.sets, SETS), ("way", self.straggling, KINDS)):
            unknown = [name for name in names if name not in known]
            if unknown or not names:
                raise ConfigError(f"{what} {unknown}: expected some of {', '.join(known)}")

    def code(self, parties: int) -> SharingParameters:
        """The widest that does without S parties. Raises ConfigError."""
        return widest_code(parties, self.late(parties), self.privacy, degree_of(self.factors))

    def late(self, parties: int) -> int:
        """S: so many straggle, and may. The code may do without one more."""
        return max(1, parties // 5) if self.stragglers is None else self.stragglers


@dataclass(frozen=True)
class Method:
    """One way to train."""

    name: str
    waiting: Waiting
    shares: bool = False
    hidden: int = 0  # of each party's own network
    late_shares: bool = False  # shares of weights straggle too: a round waits a deadline for them


CENTRALISED = "centralised"
REFERENCE = "all"  # whose time the others' is compared with
METHODS = (
    Method(REFERENCE, "all"),
    Method(OURS, "threshold", shares=True),
    Method("shares, all", "all", shares=True),
    Method("shares, late weights", "threshold", shares=True, late_shares=True),
    Method("drop", "drop"),
    Method("asynchronous", "asynchronous"),
    Method("all, own layers", "all", hidden=PARTY_HIDDEN),
)


def run_straggling_bench(
    asked: Asked, as_json: bool, csv: Path | None = None, plot: Path | None = None
) -> None:
    """Measure and print. Raises NarrowsError."""
    for parties in asked.parties:
        asked.code(parties)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(asked.sets) * len(asked.parties) * asked.seeds)

        def advance(what: str) -> None:
            progress.update(task, description=what, advance=1)

        found = bench_straggling(asked, advance)
    if csv:
        write_csv(found, csv)
    if plot:
        from narrows.simulations.vertical.plots import draw

        draw(found, plot)
    print(json.dumps(found)) if as_json else print_figures(found)


def bench_straggling(asked: Asked, advance: Callable[[str], None]) -> dict[str, Any]:
    """docs/benchmarks.md names the fields. Sets that N parties cannot share are left out."""
    rows: list[dict[str, Any]] = []
    for name in asked.sets:
        for parties in asked.parties:
            try:
                data = [
                    load_vertical(name, parties, asked.data, asked.records, seed)
                    for seed in range(asked.seeds)
                ]
            except ConfigError:  # fewer columns than parties
                if len(asked.parties) == 1:
                    raise
                continue
            rows += _rows(asked, name, parties, data, advance)
    keys = ("delay_ms", "deadline_ms", "compute_ms", "factors", "privacy", "seeds")
    return {key: getattr(asked, key) for key in keys} | {"rows": rows}


def _rows(
    asked: Asked,
    name: str,
    parties: int,
    data: Sequence[VerticalData],
    advance: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    runs: dict[tuple[str, str], list[list[Epoch]]] = {}
    for seed, one in enumerate(data):
        session = _Session(asked, one, seed)
        runs.setdefault(("", CENTRALISED), []).append(session.centralised())
        for kind in asked.straggling:
            for method in METHODS:
                runs.setdefault((kind, method.name), []).append(session.run(method, kind))
        advance(f"{name}, {parties} parties")
    central = _mean(runs["", CENTRALISED])
    target = central[-1]["accuracy"] - TARGET_BELOW
    code = asked.code(parties)
    shown: dict[str, Any] = {
        "set": name, "parties": parties, "stragglers": asked.late(parties),
        "factors": asked.factors, "recovery_threshold": code.recovery_threshold,
        "segments": code.segments,
        "records": data[0].records, "held_out": data[0].held_out,
    }  # fmt: skip
    yield shown | {"straggling": "", "method": CENTRALISED, **_figures(central, target, None)}
    for kind in asked.straggling:
        reference_s = _reached_s(_mean(runs[kind, REFERENCE]), target)
        for method in METHODS:
            curve = _mean(runs[kind, method.name])
            figures = _figures(curve, target, reference_s)
            yield shown | {"straggling": kind, "method": method.name, **figures, "curve": curve}


def _figures(
    curve: Sequence[Mapping[str, float]], target: float, reference_s: float | None
) -> dict[str, Any]:
    """None: nothing was learnt, the target not reached, or nothing to compare with."""
    reached_s = _reached_s(curve, target)
    last: Mapping[str, Any] = curve[-1] if curve else dict.fromkeys(CURVE)
    return {
        "accuracy": last["accuracy"],
        "served": last["served"],
        "epochs": len(curve),
        "virtual_s": last["ends_s"] or None,
        "target": target,
        "to_target_s": reached_s or None,
        "times_faster": reference_s / reached_s if reference_s and reached_s else None,
    }


def _reached_s(curve: Sequence[Mapping[str, float]], target: float) -> float | None:
    return next((point["ends_s"] for point in curve if point["accuracy"] >= target), None)


def _mean(runs: Sequence[Sequence[Epoch]]) -> list[dict[str, float]]:
    """Over the seeds, epoch by epoch, up to where the first of them ends."""
    return [
        {key: float(np.mean([getattr(epoch, key) for epoch in epochs])) for key in CURVE}
        for epochs in zip(*runs, strict=False)
    ]


class _Session:
    """One data set in one order; what does not depend on who was late is learnt once."""

    def __init__(self, asked: Asked, data: VerticalData, seed: int) -> None:
        self._asked, self._data, self._seed = asked, data, seed
        self._setting = SETTINGS[data.name]
        self._terms = terms_of(asked, data, self._setting, seed)
        self._learnt: dict[str, list[Epoch]] = {}

    def centralised(self) -> list[Epoch]:
        return centralised(self._terms, self._data, self._learner(), self._begin(0))

    def run(self, method: Method, kind: str) -> list[Epoch]:
        rounds = self._rounds(method, kind)
        counts = [r.shared if method.shares else r.here for r in rounds if r.ends_s < np.inf]
        told = [method.shares, method.hidden, method.waiting == "asynchronous"]
        key = hashlib.sha256(repr([told, [sorted(c) for c in counts]]).encode()).hexdigest()
        if key not in self._learnt:
            parties = self._begin(method.hidden)
            sums = (
                SharedSums(self._terms, parties)
                if method.shares
                else PlainSums(self._terms, parties, method.waiting)
            )
            learner = self._learner()
            self._learnt[key] = train(self._terms, self._data, learner, parties, sums, rounds)
        schedule = self._terms.schedule
        ends_s = {
            schedule.step(i).epoch: r.ends_s for i, r in enumerate(rounds) if r.ends_s < np.inf
        }
        return [
            replace(epoch, ends_s=ends_s[number]) for number, epoch in enumerate(self._learnt[key])
        ]

    def _rounds(self, method: Method, kind: str) -> list[Round]:
        asked, schedule = self._asked, self._terms.schedule
        parties = len(self._terms.parties)
        stragglers = Stragglers(
            kind,  # type: ignore[arg-type]  # Stragglers refuses another
            parties, asked.late(parties), asked.delay_ms / 1e3,
            len(schedule), self._seed,
        )  # fmt: skip
        deadline_s = asked.deadline_ms / 1e3
        clock = Clock(asked.compute_ms / 1e3, deadline_s if method.late_shares else None)
        wait = on_shares if method.shares else in_the_clear
        until = rule(method.waiting, parties, self._terms.wanted, deadline_s)
        return wait(schedule, until, stragglers, clock)

    def _begin(self, hidden: int) -> list[Party]:
        return begin(self._terms, self._data, hidden, self._seed)

    def _learner(self) -> Learner:
        s = self._setting
        return Learner(s.width, len(self._data.classes), s.hidden, s.rate, self._seed)


def terms_of(asked: Asked, data: VerticalData, setting: Setting, seed: int) -> Terms:
    """A session's, as its coordinator would make them. Raises ConfigError."""
    parties = len(data.parts)
    plan = Plan(
        parties, asked.late(parties), asked.privacy, factors=asked.factors, width=setting.width,
        hidden=setting.hidden, batch_rows=max(1, setting.batch // asked.code(parties).segments),
        epochs=asked.epochs or setting.epochs, held_out=data.held_out / data.records,
        rate=setting.rate, seed=seed, data_limit=LIMIT,
    )  # fmt: skip
    names = [f"party-{n}" for n in range(parties)]
    columns = [part.shape[1] for part in data.parts]
    return plan.terms("0" * 32, names, columns, data.records)
