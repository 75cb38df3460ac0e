"""`narrows bench parties`: what a round on shares costs as parties become a thousand.

A round, whole, on Ray: actors play groups of parties (narrows.simulations.vertical.group), blocks
of shares go from every group to every other through Ray's object store, and the sums are decoded
as soon as enough groups have answered. Beside what is measured stands what the formulas count.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from narrows.errors import ConfigError, NarrowsError
from narrows.server.cluster import connect
from narrows.sharing.bounds import SessionBounds
from narrows.sharing.decoding import Decoder
from narrows.sharing.fixed_point import FixedPoint, residues
from narrows.sharing.parameters import widest_code
from narrows.sharing.schedule import Schedule
from narrows.sharing.terms import Terms
from narrows.simulations.bench.race import machine
from narrows.simulations.vertical.group import Group, table_of, weights_of
from narrows.simulations.vertical.scale_report import draw_parties, print_parties

PARTIES = (10, 30, 100, 300, 1000)
GROUPS = 10
SILENT = 10  # one party in so many may stay silent
COLUMNS, WIDTH, ROWS, PRIVACY = 4, 8, 4, 1  # d_n, e, b, T
SCALE = FixedPoint(16, 1.0)
ELEMENT_BYTES = 8
OBJECT_STORE_BYTES = 1200 << 20  # a thousand parties' round is 512 MB, their tables 128 MB


@dataclass(frozen=True)
class Cost:
    """What the formulas say: field multiply-adds of one party or of the server, and bytes of all.

    |W| = F d_n e weights of a holder. Lists of parties are even: all have as many columns.
    """

    table: int  # a holder's, once: N (K+T) h d_n
    share: int  # a holder's: N (T+1) |W| of weights, N (R-K) b e of zero-masks
    respond: int  # an evaluator's: b e sum_n d_n, with one linear map
    decode: int  # the server's: K R b e, and R b e for each response beyond R that it checks
    relayed: int  # N^2 (|W| + b e) 8, own shares among them
    uploaded: int  # N b e 8


def cost(terms: Terms, rows: int, surplus: int = 0) -> Cost:
    """Of a round of b rows, decoded from R + surplus responses."""
    code, e = terms.bounds.parameters, terms.width
    n, k, t, r = code.parties, code.segments, code.privacy, code.recovery_threshold
    columns = terms.bounds.columns[0]
    weights = terms.bounds.factors * columns * e
    return Cost(
        table=n * (k + t) * terms.schedule.height * columns,
        share=n * ((t + 1) * weights + (r - k) * rows * e),
        respond=rows * e * sum(terms.bounds.columns),
        decode=(k + surplus) * r * rows * e,
        relayed=n * n * (weights + rows * e) * ELEMENT_BYTES,
        uploaded=n * rows * e * ELEMENT_BYTES,
    )


def session(parties: int) -> Terms:
    """The widest code for so many parties, and one batch of records."""
    code = widest_code(parties, parties // SILENT, PRIVACY, 2)
    bounds = SessionBounds(code, SCALE, SCALE, (COLUMNS,) * parties)
    schedule = Schedule(code.segments * ROWS, 0, code.segments, ROWS, 1)
    names = tuple(f"party-{n}" for n in range(parties))
    return Terms("0" * 32, names, bounds, WIDTH, schedule)


def run_parties_bench(
    parties: Sequence[int], groups: int, as_json: bool, plot: Path | None = None
) -> None:
    """Measure and print.

    Raises:
        ConfigError: parties that do not make that many equal groups.
        NarrowsError: sums that are not those in the clear.
    """
    for count in parties:
        if groups < 1 or count % groups:
            raise ConfigError(f"{count} parties in {groups} groups: expected groups of equal size")
    rows = []
    with Progress(console=Console(stderr=True), transient=True) as progress, _ray():
        task = progress.add_task("starting", total=len(parties))
        actors = _actors(groups)
        bench_round(min(parties), actors)  # the first is slower for being the first
        for count in parties:
            progress.update(task, description=f"{count} parties")
            rows.append(bench_round(count, actors))
            progress.advance(task)
    found = {**machine(), "groups": groups, "columns": COLUMNS, "width": WIDTH} | {
        "batch_rows": ROWS, "privacy": PRIVACY, "rows": rows,
    }  # fmt: skip
    if plot:
        draw_parties(found, plot)
    print(json.dumps(found)) if as_json else print_parties(found)


@contextmanager
def _ray() -> Iterator[None]:
    """A cluster of our own; gone afterwards."""
    connect(None, OBJECT_STORE_BYTES)
    import ray

    try:
        yield
    finally:
        ray.shutdown()


def _actors(groups: int) -> list[Any]:
    """A process for each group, on whatever core is free."""
    import ray

    return [ray.remote(Group).options(num_cpus=0).remote(index) for index in range(groups)]


def bench_round(parties: int, actors: Sequence[Any]) -> dict[str, Any]:
    """One round of so many parties, who are played by these actors."""
    import ray

    terms, groups = session(parties), len(actors)
    size = parties // groups
    code = terms.bounds.parameters
    wanted = -(-code.recovery_threshold // size)  # groups
    cuts = [i * size for i in range(groups + 1)]
    made = ray.get([actor.begin.remote(terms, cuts) for actor in actors])
    shared = [actor.share_tables.options(num_returns=groups + 1).remote() for actor in actors]
    taken = [a.take_tables.remote(*(s[i] for s in shared)) for i, a in enumerate(actors)]
    tables = ray.get([s[-1] for s in shared])
    ray.get(taken)

    step = terms.schedule.step(0)
    started = perf_counter()
    sent = [
        actor.share_round.options(num_returns=groups + 1).remote(len(step.rows)) for actor in actors
    ]
    shares = ray.get([s[-1] for s in sent])
    share_wall = perf_counter() - started
    answering = [
        actor.respond.options(num_returns=2).remote(step.rows, *(s[i] for s in sent))
        for i, actor in enumerate(actors)
    ]
    numbers = {answer: i for i, (answer, _) in enumerate(answering)}
    ready, _ = ray.wait(list(numbers), num_returns=wanted)
    answers = {numbers[ref]: ray.get(ref) for ref in ready}
    respond_wall = perf_counter() - started - share_wall

    responses = {
        cuts[i] + place: answer
        for i, group in answers.items()
        for place, answer in enumerate(group)
    }
    decoder = Decoder(terms.code)
    shape = len(step.rows), terms.width
    started, begun = perf_counter(), thread_time()
    decoded = decoder.decode(responses, shape)
    first = thread_time() - begun  # the responders' weights are made, and kept
    decode_wall = perf_counter() - started
    begun = thread_time()
    decoder.decode(responses, shape)
    again = thread_time() - begun
    work = ray.get([work for _, work in answering])

    if not np.array_equal(decoded.sums, residues(_in_the_clear(terms), code.prime)):
        raise NarrowsError(f"{parties} parties: the sums are not those in the clear")
    expected = cost(terms, len(step.rows), decoded.surplus)
    return {
        "parties": parties,
        "segments": code.segments,
        "recovery_threshold": code.recovery_threshold,
        "answered": len(responses),
        "records": code.segments * len(step.rows),
        "party_s": {
            "code": median(made),
            "table": median(s for one in tables for s in one.seconds),
            "share": median(s for one in shares for s in one.seconds),
            "respond": median(s for one in work for s in one.seconds),
        },
        "server_s": {"weights": first - again, "decode": again},
        "wall_s": {"share": share_wall, "respond": respond_wall, "decode": decode_wall},
        "bytes": {
            "tables": sum(one.bytes for one in tables),
            "relayed": sum(one.bytes for one in shares),
            "uploaded": sum(one.bytes for one in work),
        },
        "formula": asdict(expected),
        "ns_per_multiply_add": {
            name: 1e9 * seconds / getattr(expected, name)
            for name, seconds in (
                ("share", median(s for one in shares for s in one.seconds)),
                ("respond", median(s for one in work for s in one.seconds)),
                ("decode", again),
            )
        },
    }


def _in_the_clear(terms: Terms) -> NDArray[np.int64]:
    """(K, b, e): the sums of the step's rows, in whole numbers."""
    k, rows = terms.bounds.parameters.segments, terms.schedule.step(0).rows
    total = np.zeros((k, len(rows), terms.width), np.int64)
    for party in range(terms.bounds.parameters.parties):
        table = np.rint(table_of(terms, party) * 2.0**SCALE.scale_bits).astype(np.int64)
        weights = np.rint(weights_of(terms, party) * 2.0**SCALE.scale_bits).astype(np.int64)
        total += terms.schedule.arrange(table)[:, rows] @ weights[0]
    return total
