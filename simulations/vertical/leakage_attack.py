"""Two attackers on vertical training: the server after the columns, a party after the labels.

* Columns: the server knows some records whole (customers who are its own, a leaked list). It
  learns from what it saw of those, and guesses the columns of the others: ridge regression, whose
  penalty leaving one out chooses, or a small network (feature inference: Luo et al., ICDE 2021).
* Labels: a party knows no label. The gradients that it is sent for the records are clustered, by
  their directions, or by their lengths alone (Li et al., "Label leakage and protection in
  two-party split learning", ICLR 2022).
"""

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Reals = NDArray[np.float64]
Numbers = NDArray[np.int64]
Guess = Callable[[Reals], Reals]  # what is seen of others (unknown, v) -> their columns
# What is seen of known records (known, v), their columns (known, d) -> a guess, and its squared
# error at each column as the attacker can estimate it
Attack = Callable[[Reals, Reals], tuple[Guess, Reals]]

PENALTIES = 10.0 ** np.arange(-9, 5)
HIDDEN, STEPS, RATE, DECAY = 64, 400, 3e-3, 1e-3  # of the network
KEPT = 4  # one in so many known records tells the network when to stop
LOOK = 20  # steps between looks
RESTARTS, ROUNDS = 8, 50  # of k-means
FAR = 10.0  # deviations
TINY = 1e-30


def ridge(seen: Reals, wanted: Reals) -> tuple[Guess, Reals]:
    """A penalty for every column. Leaving one out costs nothing: residual / (1 - leverage)."""
    standard = _standard(seen)
    mean = wanted.mean(0)
    u, s, vt = np.linalg.svd(standard(seen), full_matrices=False)
    along = u.T @ (wanted - mean)
    errors, weights = [], []
    for penalty in PENALTIES * len(seen):
        kept = s**2 / (s**2 + penalty)
        leverage = np.minimum((u**2) @ kept + 1 / len(seen), 1 - 1e-9)
        residual = wanted - mean - u @ (kept[:, None] * along)
        errors.append(((residual / (1 - leverage)[:, None]) ** 2).mean(0))
        weights.append(vt.T @ ((s / (s**2 + penalty))[:, None] * along))
    best = np.argmin(errors, axis=0)
    chosen = np.stack(weights)[best, :, np.arange(len(best))].T
    return lambda others: standard(others) @ chosen + mean, np.min(errors, axis=0)


def network(seen: Reals, wanted: Reals) -> tuple[Guess, Reals]:
    """One hidden layer, stopped where the error on some of the known records is least."""
    standard, middle = _standard(seen), wanted.mean(0)
    spread = np.maximum(wanted.std(0), TINY)
    x = torch.from_numpy(standard(seen).astype(np.float32))
    y = torch.from_numpy(((wanted - middle) / spread).astype(np.float32))
    checks = torch.arange(len(x)) % KEPT == 0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, y.shape[1])
        )
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    best, errors, state = float("inf"), np.zeros(y.shape[1]), model.state_dict()
    for step in range(STEPS):
        if step % LOOK == 0:
            with torch.no_grad():
                missed = (model(x[checks]) - y[checks]).square().mean(0).numpy()
            if missed.mean() < best:
                best, errors, state = float(missed.mean()), missed, deepcopy(model.state_dict())
        optimiser.zero_grad()
        (model(x[~checks]) - y[~checks]).square().mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    model.load_state_dict(state)

    @torch.no_grad()
    def guess(others: Reals) -> Reals:
        rows = model(torch.from_numpy(standard(others).astype(np.float32))).numpy()
        return rows.astype(np.float64) * spread + middle  # type: ignore[no-any-return]

    return guess, errors * spread**2


def guessed(
    attack: Attack, views: Sequence[Reals], wanted: Reals, known: Numbers, unknown: Numbers
) -> Reals:
    """(unknown, d): every column by the view from which the attacker expects to guess it best.

    views: what it sees of all records (records, v), in one way or another.
    """
    tried = [attack(view[known], wanted[known]) for view in views]
    best = np.stack([errors for _, errors in tried]).argmin(0)
    guesses = [guess(view[unknown]) for view, (guess, _) in zip(views, tried, strict=True)]
    return np.stack(guesses)[best, :, np.arange(len(best))].T


ATTACKS: dict[str, Attack] = {"ridge": ridge, "network": network}


def explained(guessed: Reals, truth: Reals) -> float:
    """R^2 of all columns together; 0 for who guesses their means, below 0 for who guesses worse.

    Columns are of one scale. Each by itself, one that varies in the known records alone would
    decide a mean.
    """
    missed = ((guessed - truth) ** 2).sum()
    return float(1 - missed / ((truth - truth.mean(0)) ** 2).sum())


def correlated(guessed: Reals, truth: Reals) -> Reals:
    """Pearson's |r| of every column; 0 where a guess does not vary."""
    a, b = guessed - guessed.mean(0), truth - truth.mean(0)
    norms = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return np.abs((a * b).sum(0)) / np.maximum(norms, TINY)  # type: ignore[no-any-return]


def alike(seen: Reals, truth: Reals) -> float:
    """How far who is like whom in what is seen is who is like whom in truth, 0 to 1.

    Linear centred kernel alignment (Kornblith et al., ICML 2019): it takes no known record.
    """
    a, b = seen - seen.mean(0), truth - truth.mean(0)
    within = float(np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    return float(np.linalg.norm(a.T @ b)) ** 2 / max(within, TINY)


def clustered(points: Reals, classes: int, seed: int = 0) -> Numbers:
    """k-means, the best of some starts by k-means++: (records, v) to (records,) clusters."""
    rng = np.random.default_rng(seed)
    tried = [_clusters(points, classes, rng) for _ in range(RESTARTS)]
    return min(tried, key=lambda found: found[0])[1]


def directions(gradients: NDArray[np.floating]) -> Reals:
    """Of length one, around no centre: what a label decides is where a gradient points."""
    rows = gradients.astype(np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), TINY)  # type: ignore[no-any-return]


def first_component(gradients: NDArray[np.floating]) -> Reals:
    """(records, v) to (records,): along the direction in which most of their squares lie."""
    rows = gradients.astype(np.float64)
    return rows @ np.linalg.svd(rows, full_matrices=False)[2][0]  # type: ignore[no-any-return]


def matched(clusters: NDArray[np.integer], labels: Numbers) -> float:
    """Accuracy when each cluster is called by the label that makes it largest, one to one."""
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((int(clusters.max()) + 1, int(labels.max()) + 1))
    np.add.at(table, (clusters, labels), 1)
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / len(labels))


def auc(scores: Reals, labels: Numbers) -> float:
    """Of scores whose sign nobody knows, for labels 0 and 1: 0.5 to 1."""
    order = np.argsort(np.argsort(scores, kind="stable"), kind="stable") + 1.0
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.bincount(inverse, order) / counts)[inverse]  # ties share their mean rank
    ones = int(labels.sum())
    above = ranks[labels == 1].sum() - ones * (ones + 1) / 2
    area = above / (ones * (len(labels) - ones))
    return float(max(area, 1 - area))


def _standard(rows: Reals) -> Guess:
    """To mean 0 and deviation 1 as of these rows, and no farther out than FAR."""
    shift, scale = rows.mean(0), rows.std(0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    return lambda others: np.clip((others - shift) / scale, -FAR, FAR)


def _clusters(
    points: Reals, classes: int, rng: np.random.Generator
) -> tuple[float, NDArray[np.int64]]:
    """(sum of squared distances, clusters) from one start."""
    centres = points[rng.integers(len(points), size=1)]
    while len(centres) < classes:
        nearest = _distances(points, centres).min(1)
        total = nearest.sum()
        odds = nearest / total if total > 0 else None
        centres = np.concatenate([centres, points[rng.choice(len(points), size=1, p=odds)]])
    for _ in range(ROUNDS):
        found = _distances(points, centres).argmin(1)
        means = [
            points[found == c].mean(0) if (found == c).any() else centres[c] for c in range(classes)
        ]
        if np.allclose(means, centres):
            break
        centres = np.stack(means)
    distances = _distances(points, centres)
    return float(distances.min(1).sum()), distances.argmin(1)


def _distances(points: Reals, centres: Reals) -> Reals:
    """Squared: (records, classes)."""
    return ((points[:, None] - centres[None]) ** 2).sum(-1)  # type: ignore[no-any-return]
