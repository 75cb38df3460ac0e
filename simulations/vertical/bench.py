"""`narrows bench vertical`: sessions over sockets with late parties, by any R and by all.

1. Without delays: what is learnt, beside one network over all columns, and what a round takes.
2. With exponential delays of every party's results, ended by the first R + 2A, and by all.
3. In this process: responding sets of R, decoded and compared with integers in the clear.

The order statistic of a round is when the R + 2A-th party would have its result ready at the
earliest: its delay, and a round without delays.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from narrows.server.vertical.plan import Plan
from narrows.server.vertical.top import Learner
from narrows.sharing.decoding import Decoder
from narrows.sharing.fixed_point import signed
from narrows.sharing.party import RoundShare, compute, share_round, share_table
from narrows.sharing.terms import Terms
from narrows.simulations.bench.field import SHAPES, TOP, bench_field
from narrows.simulations.bench.race import machine
from narrows.simulations.vertical.datasets import VerticalData, load_vertical
from narrows.simulations.vertical.parties import Request, names_of, threshold_delays
from narrows.simulations.vertical.session import run_session
from narrows.simulations.vertical.system import begin, centralised

SUBSETS = 20
RECORDS_A_ROUND = 96
FIELD_ROUNDS = 5


def run_vertical_bench(
    name: str, folder: Path | None, plan: Plan, delay_s: float, rounds: int, as_json: bool
) -> None:
    """Measure and print. Raises NarrowsError."""
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as bar:
        task = bar.add_task("a session without delays", total=5)

        def next_part(said: str) -> None:
            bar.update(task, advance=1, description=said)

        found = bench_vertical(name, folder, plan, delay_s, rounds, next_part)
    print(json.dumps(found)) if as_json else _print(found)


def bench_vertical(
    name: str, folder: Path | None, plan: Plan, delay_s: float, rounds: int, next_part: Any
) -> dict[str, Any]:
    """The figures, as docs/benchmarks.md names them."""
    data = load_vertical(name, plan.parties, folder)
    request = Request(
        "", name, str(folder) if folder else None, None, plan.parties, "", 0.0, None, False,
        plan.seed, plan.width, plan.factors,
    )  # fmt: skip
    learnt = run_session(data, request, options_of(plan))
    terms = plan.terms("0" * 32, names_of(plan.parties), _columns(data), data.records)
    learner = Learner(plan.width, len(data.classes), plan.hidden, plan.rate, plan.seed)
    whole = centralised(terms, data, learner, begin(terms, data))
    next_part("a session with delays, any R")
    timed = _fewer_rounds(plan, data, rounds)
    late = replace(request, delay_s=delay_s)
    first = run_session(data, late, options_of(timed))
    next_part("a session with delays, waiting for all")
    everyone = run_session(data, late, options_of(replace(timed, waiting="all")))
    next_part("the same rounds without delays")
    undelayed = run_session(data, request, options_of(timed))
    next_part("exactness and arithmetic")
    exact = decodes_exactly(terms, data, plan.seed)
    gemm = bench_field({name: SHAPES[name] for name in (TOP, "decode")}, 1, FIELD_ROUNDS)
    wanted = terms.wanted
    delays = threshold_delays(late, range(1, first["rounds"] + 1), wanted)
    statistics_ms = [1e3 * delay + undelayed["round_ms"] for delay in delays]
    over = median(ms / at for ms, at in zip(first["rounds_ms"], statistics_ms, strict=True)) - 1
    return {
        **machine(),
        "data": name,
        "parties": plan.parties,
        "segments": learnt["segments"],
        "recovery_threshold": learnt["recovery_threshold"],
        "stragglers": plan.parties - wanted,
        "exact": exact,
        "accuracy": learnt["accuracy"],
        "centralised_accuracy": whole[-1].accuracy,
        "round_ms": first["round_ms"],
        "order_statistic_ms": median(statistics_ms),
        "over_order_statistic": over,
        "delay_ms": 1e3 * delay_s,
        "delay_of_threshold_ms": 1e3 * median(delays),
        "undelayed_round_ms": undelayed["round_ms"],
        "wait_for_all_round_ms": everyone["round_ms"],
        "speedup": everyone["round_ms"] / first["round_ms"],
        "rounds": first["rounds"],
        "field_gemm_gops": gemm["field_gemm_gops"],
        "sgemm_gflops": gemm["sgemm_gflops"],
        "bytes_per_round": first["bytes_per_round"],
    }


def decodes_exactly(terms: Terms, data: VerticalData, seed: int) -> bool:
    """Whether any R responses give the integers that quantised tables and weights give."""
    parties, rows = begin(terms, data), terms.schedule.step(0).rows
    weights = [party.network.weights for party in parties]
    tables = [share_table(terms, table) for table in data.parts]
    shares = [share_round(terms, w, len(rows)) for w in weights]
    n, parameters = len(parties), terms.bounds.parameters
    responses = {
        m: compute(
            terms,
            [table[m] for table in tables],
            [RoundShare.decode(shares[h][m], terms, h, len(rows)) for h in range(n)],
            rows,
        )
        for m in range(n)
    }
    clear = sum(party.integers(rows, party.share()) for party in parties)
    decoder, shape = Decoder(terms.code), (len(rows), terms.width)
    for subset in range(SUBSETS):
        order = sorted(
            range(n), key=lambda m: hashlib.sha256(f"{seed}/{subset}/{m}".encode()).digest()
        )
        chosen = {m: responses[m] for m in order[: parameters.recovery_threshold]}
        sums = signed(decoder.decode(chosen, shape).sums, parameters.prime)
        if not np.array_equal(sums.reshape(-1, terms.width), clear):
            return False
    return True


def _columns(data: VerticalData) -> tuple[int, ...]:
    return tuple(part.shape[1] for part in data.parts)


def _fewer_rounds(plan: Plan, data: VerticalData, rounds: int) -> Plan:
    """One epoch of about so many rounds."""
    height = -(-data.training // plan.code.segments)
    return replace(plan, epochs=1, batch_rows=max(1, -(-height // rounds)))


def options_of(plan: Plan) -> list[str]:
    """The plan as flags of `narrows vertical serve`."""
    options = {
        "stragglers": plan.stragglers, "privacy": plan.privacy, "wrong": plan.wrong,
        "factors": plan.factors, "width": plan.width, "hidden": ",".join(map(str, plan.hidden)),
        "batch-rows": plan.batch_rows, "epochs": plan.epochs, "rate": plan.rate,
        "seed": plan.seed, "wait": plan.waiting, "log-level": "warning",
    }  # fmt: skip
    flags = ["--aligned"] if plan.aligned else []
    return [*flags, *(text for k, v in options.items() for text in (f"--{k}", str(v)))]


def _print(found: dict[str, Any]) -> None:
    table = Table(title=f"{found['data']}, {found['parties']} parties, {found['cpu']}")
    table.add_column("what")
    table.add_column("", justify="right")
    rows = {
        "recovery threshold R": found["recovery_threshold"],
        "decoded sums exact": found["exact"],
        "accuracy on shares": f"{100 * found['accuracy']:.1f} %",
        "... of one network over all columns": f"{100 * found['centralised_accuracy']:.1f} %",
        f"round, delays of {found['delay_ms']:.0f} ms": f"{found['round_ms']:.0f} ms",
        "... order statistic": f"{found['order_statistic_ms']:.0f} ms",
        "... waiting for all": f"{found['wait_for_all_round_ms']:.0f} ms",
        "... without delays": f"{found['undelayed_round_ms']:.0f} ms",
        "relayed in a round": f"{found['bytes_per_round'] / 1e3:.0f} kB",
        "product modulo p": f"{found['field_gemm_gops']:.2f} G multiply-adds/s",
        "product of floats": f"{found['sgemm_gflops']:.1f} G multiply-adds/s",
    }
    for what, value in rows.items():
        table.add_row(what, str(value))
    Console().print(table)
