"""Who holds which records: a data set's rows dealt to clients, alike or not.

Each function returns one int64 array of row indices a client, ascending; every row is dealt exactly
once. The same arguments deal the same on every machine.

Hsu, Qi and Brown, "Measuring the effects of non-identical data distribution for federated visual
classification" (2019) for `dirichlet`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.errors import ConfigError

Rows = NDArray[np.int64]


def iid(records: int, clients: int, seed: int = 0) -> list[Rows]:
    """Rows 0 to records - 1 in equal parts, drawn by chance.

    Raises:
        ConfigError: no client, or fewer records than clients.
    """
    _check(records, clients, 1)
    order = np.random.default_rng(seed).permutation(records)
    return [np.sort(part).astype(np.int64) for part in np.array_split(order, clients)]


def dirichlet(
    labels: ArrayLike, clients: int, alpha: float, seed: int = 0, least: int = 1
) -> list[Rows]:
    """Every label's rows shared out in proportions drawn from a symmetric Dirichlet distribution.

    Parameters
    ----------
    labels : (records,) of any type that sorts
        What is skewed between clients.
    clients : int
        How many parts.
    alpha : float
        Above 0. Small: few labels a client (0.1 is hard); large: all alike.
    seed : int
        Of all that is drawn.
    least : int
        Rows every client has at least; who was dealt fewer is given some of the largest's.

    Raises:
        ConfigError: labels that are no row, alpha not above 0, or too few records for `least`.
    """
    row = np.asarray(labels)
    if row.ndim != 1:
        raise ConfigError(f"labels must be one row, one a record, not of shape {row.shape}")
    if not (np.isfinite(alpha) and alpha > 0):
        raise ConfigError(f"alpha must be a number above 0, not {alpha}")
    _check(len(row), clients, least)
    chance = np.random.default_rng(seed)
    owners = np.empty(len(row), np.int64)
    for label in np.unique(row):
        found = chance.permutation(np.flatnonzero(row == label))
        shares = chance.dirichlet(np.full(clients, alpha))
        ends = np.rint(np.cumsum(shares)[:-1] * len(found)).astype(np.int64)
        for client, part in enumerate(np.split(found, ends)):
            owners[part] = client
    _top_up(owners, clients, least, chance)
    return [np.flatnonzero(owners == client).astype(np.int64) for client in range(clients)]


def by_group(groups: ArrayLike, clients: int) -> list[Rows]:
    """Rows of one group (a device, a domain, a writer) stay together.

    groups: (records,), the group of each. With more groups than clients a client gets several, the
    largest group first and always to who has fewest rows; with as many, each client is one group,
    in the groups' order.

    Raises:
        ConfigError: groups that are no row, no client, or fewer groups than clients.
    """
    row = np.asarray(groups)
    if row.ndim != 1:
        raise ConfigError(f"groups must be one row, one a record, not of shape {row.shape}")
    names, of_row, sizes = np.unique(row, return_inverse=True, return_counts=True)
    if not 1 <= clients <= len(names):
        raise ConfigError(f"{clients} clients of {len(names)} groups: each needs at least one")
    owner = np.arange(len(names))
    if clients < len(names):
        held = np.zeros(clients, np.int64)
        for group in np.argsort(-sizes, kind="stable"):
            owner[group] = held.argmin()
            held[owner[group]] += sizes[group]
    return [np.flatnonzero(owner[of_row] == client).astype(np.int64) for client in range(clients)]


def _check(records: int, clients: int, least: int) -> None:
    if clients < 1 or least < 0:
        raise ConfigError(
            f"{clients} clients of at least {least} records: expected 1 and 0 or more"
        )
    if records < clients * max(1, least):
        raise ConfigError(
            f"{records} records are too few for {clients} clients of at least {least} each"
        )


def _top_up(owners: Rows, clients: int, least: int, chance: np.random.Generator) -> None:
    """Give rows of the largest part to who has fewer than `least`, in place."""
    sizes = np.bincount(owners, minlength=clients)
    for client in np.flatnonzero(sizes < least):
        while sizes[client] < least:
            largest = int(sizes.argmax())
            spare = min(least - sizes[client], max(1, (sizes[largest] - least) // 2))
            owners[chance.choice(np.flatnonzero(owners == largest), spare, replace=False)] = client
            sizes[largest] -= spare
            sizes[client] += spare
