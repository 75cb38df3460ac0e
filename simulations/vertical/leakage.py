"""`narrows bench leakage`: what vertical training gives away, summed and as split networks do it.

Two trainings of the same parties and records (narrows.simulations.vertical.leakage_training), and
two attackers on what they show (narrows.simulations.vertical.leakage_attack): the server after a
party's columns, a party after the labels and the others' columns. Beside them what each guesses
without the protocol: the server from its labels, colluders and parties from columns of their own.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from narrows.simulations.vertical.datasets import VerticalData
from narrows.simulations.vertical.leakage_attack import (
    ATTACKS,
    Attack,
    alike,
    auc,
    clustered,
    correlated,
    directions,
    explained,
    first_component,
    guessed,
    matched,
    ridge,
)
from narrows.simulations.vertical.leakage_report import draw_leakage, print_leakage
from narrows.simulations.vertical.leakage_training import Seen, Training, train

KNOWN = (0.5, 1.0, 2.0, 4.0)  # records that the attacker has whole, for each column of all
MOST_KNOWN = 0.85  # of those attacked
FEW, ENOUGH = KNOWN[:2]
WIDTHS = (2, 4, 8, 16, 32)
DRAWS = 3  # of who is known; means are told

Numbers = NDArray[np.int64]
Reals = NDArray[np.float64]
Note = Callable[[str], None]
Target = tuple[list[Reals], Reals]  # views (data, v) to choose from, wanted (data, d)


@dataclass(frozen=True)
class Both:
    """The two trainings."""

    summed: Seen
    split: Seen  # embeddings side by side


def run_leakage_bench(
    data: VerticalData, how: Training, as_json: bool, plot: Path | None = None
) -> None:
    """Train, attack and print. Raises NarrowsError."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("training", total=None)
        found = measure(data, how, lambda what: progress.update(task, description=what))
    if plot:
        draw_leakage(found, plot)
    print(json.dumps(found)) if as_json else print_leakage(found)


def measure(data: VerticalData, how: Training, note: Note = lambda what: None) -> dict[str, Any]:
    """All figures: docs/vertical-privacy.md says what they mean."""
    both = _both(data, how, note)
    trained = both.summed.trained
    return {
        "set": data.name,
        "columns": [part.shape[1] for part in data.parts],
        "classes": len(data.classes),
        "learnt_from": int(trained.sum()),
        "held_out": int((~trained).sum()),
        "training": vars(how),
        "accuracy": {"summed": both.summed.accuracy, "split": both.split.accuracy},
        "server": list(_server(data, both, how.seed, note)),
        "alike": _alike(data, both),
        "colluders": list(_colluders(data, both, how.seed, note)),
        "widths": list(_widths(data, how, note)),
        "party": _party(data, both, how.seed, note),
    }


def _both(data: VerticalData, how: Training, note: Note) -> Both:
    seen = []
    for summed in (True, False):
        note(f"training, width {how.width}, {'summed' if summed else 'side by side'}")
        seen.append(train(data, how, summed))
    return Both(*seen)


def _server(data: VerticalData, both: Both, seed: int, note: Note) -> Iterator[dict[str, Any]]:
    """Columns guessed from the server's view, by how much it knows, both attacks."""
    everything = np.concatenate(data.parts, axis=1)
    labels = _one_hot(data)
    for name, of in (("learnt from", both.summed.trained), ("held out", ~both.summed.trained)):
        for draws in _known(of, everything.shape[1], KNOWN, seed):
            row: dict[str, Any] = {"records": name, "known": len(draws[0][0])}
            for attack, guess in ATTACKS.items():
                note(f"{name}, {row['known']} records known: {attack}")
                views = {
                    "labels": [([labels], everything)],
                    **_sums(labels, both.summed.sums, everything),
                    "embedding": [
                        ([_seen(labels, both.split.embeddings[-1:, n])], part)
                        for n, part in enumerate(data.parts)
                    ],
                }
                row[attack] = {v: _figures(guess, targets, draws) for v, targets in views.items()}
            yield row


def _alike(data: VerticalData, both: Both) -> dict[str, float]:
    """Who is like whom by a party's columns, from what the server sees: means over the parties."""
    of = both.summed.trained
    sums = both.summed.sums[:, of]
    views = {
        "labels": [_one_hot(data)[of]] * len(data.parts),
        "sum": [sums[-1]] * len(data.parts),
        "sums": [np.concatenate(list(sums), axis=1)] * len(data.parts),
        "embedding": list(both.split.embeddings[-1][:, of]),
    }
    return {
        view: float(np.mean([alike(a, part[of]) for a, part in zip(seen, data.parts, strict=True)]))
        for view, seen in views.items()
    }


def _colluders(data: VerticalData, both: Both, seed: int, note: Note) -> Iterator[dict[str, Any]]:
    """Columns of those left, when the server has more and more parties on its side.

    Their parts are taken off the sum, their columns are known of all data.
    """
    parties, labels = len(data.parts), _one_hot(data)
    width = sum(part.shape[1] for part in data.parts)
    (draws,) = _known(both.summed.trained, width, (FEW,), seed)
    for count in range(parties):
        note(f"{count} parties collude")
        views: dict[str, list[Target]] = {"columns": [], "sum": [], "sums": []}
        for first in range(parties if count else 1):
            colluding = [(first + i) % parties for i in range(count)]
            left = [n for n in range(parties) if n not in colluding]
            wanted = np.concatenate([data.parts[n] for n in left], axis=1)
            own = np.concatenate([labels, *(data.parts[n] for n in colluding)], axis=1)
            rest = both.summed.embeddings[:, left].sum(1)
            views["columns"].append(([own], wanted))
            for view, targets in _sums(own, rest, wanted).items():
                alone = _sums(labels, rest, wanted)[view]
                views[view] += [
                    (a + b, wanted) for (a, _), (b, _) in zip(targets, alone, strict=True)
                ]
        yield {"colluders": count, "known": len(draws[0][0])} | {
            view: _figures(ridge, targets, draws) for view, targets in views.items()
        }


def _widths(data: VerticalData, how: Training, note: Note) -> Iterator[dict[str, Any]]:
    """The same columns and records, embeddings of fewer and of more numbers."""
    labels, everything = _one_hot(data), np.concatenate(data.parts, axis=1)
    for width in WIDTHS:
        both = _both(data, replace(how, width=width), note)
        (draws,) = _known(both.summed.trained, everything.shape[1], (ENOUGH,), how.seed)
        views = _sums(labels, both.summed.sums, everything)
        views["embedding"] = [
            ([_seen(labels, both.split.embeddings[-1:, n])], part)
            for n, part in enumerate(data.parts)
        ]
        yield {
            "width": width,
            "known": len(draws[0][0]),
            "accuracy": both.summed.accuracy,
        } | {view: _figures(ridge, targets, draws) for view, targets in views.items()}


def _party(data: VerticalData, both: Both, seed: int, note: Note) -> dict[str, Any]:
    """Labels, and the others' columns, from what a party is sent; means over the parties."""
    note("parties look for labels")
    labels = data.labels[both.summed.trained]
    most = float(np.bincount(labels).max() / len(labels))
    own = [
        matched(clustered(part[both.summed.trained], len(data.classes)), labels)
        for part in data.parts
    ]
    rows = []
    for name, seen in (("summed", both.summed), ("split", both.split)):
        for epoch in sorted({0, len(seen.gradients) - 1}):
            gradients = seen.gradients[epoch][seen.trained]
            blocks = 1 if name == "summed" else len(data.parts)
            found = [_labels(g, labels) for g in np.split(gradients, blocks, axis=1)]
            means = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
            rows.append({"gradients": name, "epoch": epoch + 1} | means)
    note("parties look for the others' columns")
    trained = both.summed.trained
    width = sum(part.shape[1] for part in data.parts)
    (draws,) = _known(trained, width, (ENOUGH,), seed)
    alone, told = [], []
    for n, part in enumerate(data.parts):
        others = np.concatenate([p for i, p in enumerate(data.parts) if i != n], axis=1)
        alone.append(([part], others))
        last = _seen(part, both.summed.gradients[-1:])
        told.append(([part, last, _seen(part, both.summed.gradients)], others))
    return {
        "majority": most,
        "own_columns": float(np.mean(own)),
        "labels": rows,
        "others": {
            "known": len(draws[0][0]),
            "own_columns": _figures(ridge, alone, draws),
            "gradients": _figures(ridge, told, draws),
        },
    }


def _labels(gradients: NDArray[np.float32], labels: Numbers) -> dict[str, float]:
    """By clusters of directions; for two classes also by the first component and the length."""
    classes = int(labels.max()) + 1
    found = {"clusters": matched(clustered(directions(gradients), classes), labels)}
    if classes == 2:
        along = first_component(gradients)
        lengths = np.linalg.norm(gradients.astype(np.float64), axis=1)
        found |= {
            "sign": matched((along > 0).astype(np.int64), labels),
            "sign_auc": auc(along, labels),
            "length_auc": auc(lengths, labels),
        }
    return found


def _one_hot(data: VerticalData) -> Reals:
    return np.eye(len(data.classes))[data.labels]


def _seen(own: Reals, told: NDArray[np.floating]) -> Reals:
    """(data, v) and (epochs, records, e) to (data, v + epochs e)."""
    return np.concatenate([own, *told.astype(np.float64)], axis=1)


def _known(
    of: NDArray[np.bool_], columns: int, shares: Sequence[float], seed: int
) -> Iterator[list[tuple[Numbers, Numbers]]]:
    """For every share DRAWS pairs of numbers: of the known records, of those to guess.

    Shares that would leave too few to guess become the most that leave enough.
    """
    numbers = np.flatnonzero(of)
    most = int(MOST_KNOWN * len(numbers))
    for count in dict.fromkeys(min(round(share * columns), most) for share in shares):
        rng = np.random.default_rng([seed, count])
        orders = [rng.permutation(numbers) for _ in range(DRAWS)]
        yield [(order[:count], order[count:]) for order in orders]


def _sums(own: Reals, sums: Reals, wanted: Reals) -> dict[str, list[Target]]:
    """What is known of all records, with the last epoch's sums, and with every epoch's."""
    last, every = _seen(own, sums[-1:]), _seen(own, sums)
    return {"sum": [([last], wanted)], "sums": [([last, every], wanted)]}


def _figures(
    attack: Attack, targets: Sequence[Target], draws: Sequence[tuple[Numbers, Numbers]]
) -> dict[str, float]:
    """Means over targets and draws: R^2, and every column's |r|."""
    r2: list[float] = []
    r: list[Reals] = []
    for views, wanted in targets:
        for known, unknown in draws:
            guess = guessed(attack, views, wanted, known, unknown)
            r2.append(explained(guess, wanted[unknown]))
            r.append(correlated(guess, wanted[unknown]))
    return {"r2": float(np.mean(r2)), "r": float(np.concatenate(r).mean())}
