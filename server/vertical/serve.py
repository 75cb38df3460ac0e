"""`narrows vertical serve`: parties gather, a session runs on Ray, and its results are written."""

import csv
import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress as Bar

from narrows.errors import SessionError
from narrows.server.cluster import connect, unwrapped
from narrows.server.logs import set_up_logs
from narrows.server.vertical.labels import Labels
from narrows.server.vertical.plan import Plan
from narrows.sharing.terms import Terms, summary

if TYPE_CHECKING:
    from narrows.server.vertical.checkpoint import Session

log = logging.getLogger(__name__)
OBJECT_STORE_BYTES = 1 << 30  # a round's shares, and once everybody's table


@dataclass(frozen=True)
class Served:
    """How a session is reached, and where its files are."""

    out: Path
    ids: list[str]  # of the coordinator's records
    labels: Labels | None  # None: predict
    model: Path | None = None  # the folder of a session before, to predict with
    names: tuple[str, ...] = ()  # of the parties; any by default
    host: str = "127.0.0.1"
    port: int = 50052
    tls: Path | None = None
    console: int | None = None
    ray_address: str | None = None
    log: str = "text"
    log_level: str = "info"


def serve_vertical(plan: Plan, served: Served, as_json: bool) -> dict[str, Any]:
    """One session, from its parties' arrival to its end; what was reached.

    Raises:
        NarrowsError: what keeps it from beginning, or from going on.
    """
    set_up_logs(served.log, served.log_level)
    model = _model(served)
    if model is not None:
        plan = _as_learnt(plan, model.terms)
    connect(served.ray_address, OBJECT_STORE_BYTES)
    import ray

    # Each step is kept: nothing is lost. Ray has a handler of its own, which aborts.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with _ingress(plan, served, as_json) as ingress:
            return _session(plan, served, model, ingress, as_json)
    finally:
        ray.shutdown()


def _model(served: Served) -> "Session | None":
    """What to predict with."""
    from narrows.server.vertical.checkpoint import Checkpoint

    if served.model is None:
        return None
    model = Checkpoint(served.model).session()
    if model is None:
        raise SessionError(f"{served.model}: no session to predict with")
    return model


def _as_learnt(plan: Plan, terms: Terms) -> Plan:
    """What the parties' weights are made for is as it was."""
    bounds = terms.bounds
    return replace(
        plan, width=terms.width, factors=bounds.factors, data_limit=bounds.data.limit,
        weight_limit=bounds.weights.limit, party_hidden=terms.hidden,
    )  # fmt: skip


@contextmanager
def _ingress(plan: Plan, served: Served, as_json: bool) -> Iterator[Any]:
    import ray

    from narrows.server.vertical.ingress import Ingress, IngressSettings

    settings = IngressSettings(
        plan.parties, served.names, served.host, served.port, served.tls, served.console,
        served.log, served.log_level,
    )  # fmt: skip
    options = {"num_cpus": 0, "max_concurrency": 4 * plan.parties + 16}
    ingress: Any = ray.remote(Ingress).options(**options).remote()
    port, console = unwrapped(lambda: ray.get(ingress.start.remote(settings)))
    told: dict[str, Any] = {"address": f"{served.host}:{port}", "parties": plan.parties}
    if console is not None:
        told["console"] = f"http://127.0.0.1:{console}/"
    text = f"waiting for {plan.parties} parties on {told['address']}"
    text += f"; console: {told['console']}" if console is not None else ""
    print(json.dumps(told) if as_json else text, flush=True)
    try:
        yield ingress
    finally:
        ray.get(ingress.close.remote())


def _session(
    plan: Plan, served: Served, model: "Session | None", ingress: Any, as_json: bool
) -> dict[str, Any]:
    import ray

    from narrows.protos.narrows.v1 import vertical_pb2 as pb
    from narrows.server.vertical.asking import Question
    from narrows.server.vertical.checkpoint import Checkpoint, Progress, load_top
    from narrows.server.vertical.coordinator import Coordinator
    from narrows.server.vertical.decoding import Decoders
    from narrows.server.vertical.gradients import Gradients
    from narrows.server.vertical.plain import PlainSums
    from narrows.server.vertical.shared import SharedSums
    from narrows.server.vertical.standing import Standing
    from narrows.server.vertical.waiting import KnownParts

    checkpoint = Checkpoint(served.out)
    found = checkpoint.session()
    with _bar(as_json) as bar:
        session = found or _set_up(plan, served, model, ingress, bar)
        terms = session.terms
        ray.get(ingress.begin.remote(terms.parties, terms.digest))
        learner = session.learner(plan.seed)
        progress, gradients = Progress(), Gradients()
        if found:
            log.info("going on with session %s", terms.session)
            progress, gradients = checkpoint.resume(session, learner)
            if progress.step == len(terms.schedule):
                raise SessionError(f"{served.out}: this session has ended: --out begins another")
        else:
            checkpoint.begin(session)
            if served.model is not None:
                load_top(served.model, learner)
            checkpoint.save(session, learner, progress, gradients)
        standing = Standing(terms.parties)
        sums: Any
        if terms.protected:
            decoders = Decoders(terms, plan.decoders)
            sums = SharedSums(ingress, terms, standing, decoders, plan.share_wait_s, plan.rule)
        else:
            known = KnownParts(*_shape(terms)) if plan.waiting == "asynchronous" else None
            sums = PlainSums(ingress, terms, standing, plan.rule, known)
        if found:
            if terms.protected:
                sums.stand_in(checkpoint.held())
            _come_back(ingress, len(standing.expected), plan.share_wait_s)
        labels = _labels(served, session.ids)
        coordinator = Coordinator(terms, labels, learner, sums, standing, progress, gradients)
        rounds = bar.add_task("rounds", total=len(terms.schedule), completed=progress.step)

        def on_step(now: Coordinator) -> None:
            if now.progress.step < len(terms.schedule):
                checkpoint.hold(sums.standing_in)
                checkpoint.save(session, learner, now.progress, gradients)
            ingress.tell.remote(now.samples())
            bar.update(rounds, completed=now.progress.step, description=_said(now))
            if as_json and now.ends_epoch:
                print(json.dumps(asdict(now.progress.epochs[-1])), flush=True)

        def wait_for(parties: int) -> None:
            if len(ray.get(ingress.present.remote())) < parties:
                bar.update(rounds, description=f"waiting for {parties} parties")
                ray.get(ingress.gather.remote(parties))

        coordinator.run(wait_for, on_step)
        finish = {
            n: pb.CoordinatorMessage(
                finish=pb.Finish(gradients=gradients.missing(n))
            ).SerializeToString()
            for n in range(len(terms.parties))
        }
        Question(ingress, dict(enumerate(terms.parties)), finish).wait_for(
            "finished", standing.expected, plan.share_wait_s
        )
    _write_predictions(served.out, session, coordinator)
    result = _result(coordinator, sums)
    (served.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    checkpoint.save(session, learner, progress, gradients)  # the last: what has ended is whole
    return result


def _set_up(
    plan: Plan, served: Served, model: "Session | None", ingress: Any, bar: Bar
) -> "Session":
    import ray

    from narrows.server.vertical.checkpoint import Session
    from narrows.server.vertical.setting_up import SettingUp

    setting_up_bar = bar.add_task(f"waiting for {plan.parties} parties", total=None)
    names = ray.get(ingress.gather.remote(plan.parties))[: plan.parties]
    setting_up = SettingUp(ingress, names)
    met = setting_up.introduce()
    bar.update(setting_up_bar, description="which records all have")
    if plan.aligned:
        common = setting_up.aligned(met, len(served.ids))
    else:
        common = setting_up.intersect(met, served.ids)
    terms = plan.terms(met.session, met.names, met.columns, len(common.rows))
    log.info("session %s: %s", terms.session, summary(terms))
    bar.update(setting_up_bar, description="tables on shares", total=len(names))
    setting_up.agree(terms, common, lambda holder: bar.advance(setting_up_bar))
    bar.remove_task(setting_up_bar)
    ids, hidden = [served.ids[row] for row in common.rows], plan.hidden
    if model is not None:
        return Session(terms, ids, model.classes, model.hidden)
    assert served.labels is not None
    return Session(terms, ids, served.labels.classes, hidden)


def _come_back(ingress: Any, parties: int, within_s: float) -> None:
    """Who is not here for the first round and left no shares is no part of the sum."""
    import ray

    try:
        ray.get(ingress.gather.remote(parties), timeout=within_s)
    except ray.exceptions.GetTimeoutError:
        here = ray.get(ingress.present.remote())
        log.warning("going on with %d parties of %d: %s", len(here), parties, ", ".join(here))


def _shape(terms: Terms) -> tuple[int, int, int, int]:
    schedule = terms.schedule
    return len(terms.parties), schedule.segments, schedule.height, terms.width


def _labels(served: Served, ids: list[str]) -> NDArray[np.int64]:
    from narrows.server.vertical.top import NO_LABEL

    if served.labels is None:
        return np.full(len(ids), NO_LABEL, np.int64)
    index = dict(zip(served.labels.ids, served.labels.indices.tolist(), strict=True))
    try:
        return np.array([index[text] for text in ids], np.int64)
    except KeyError as error:
        raise SessionError(f"record {error} of the session has no label: other labels?") from None


def _write_predictions(out: Path, session: "Session", coordinator: Any) -> None:
    """predictions.csv: the held-out records, the class, and each class's probability."""
    logits = coordinator.predictions().astype(np.float64)
    if not len(logits):
        return
    odds = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = odds / odds.sum(1, keepdims=True)
    with open(out / "predictions.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "class", *session.classes])
        for text, row in zip(session.ids[-len(logits) :], probabilities, strict=True):
            writer.writerow([text, session.classes[int(row.argmax())], *(f"{p:.6f}" for p in row)])


def _result(coordinator: Any, sums: Any) -> dict[str, Any]:
    terms, progress = coordinator.terms, coordinator.progress
    rounds = coordinator.round_s
    return summary(terms) | {
        "session": terms.session,
        "protected": terms.protected,
        "epochs": [asdict(epoch) for epoch in progress.epochs],
        "accuracy": progress.epochs[-1].accuracy if progress.epochs else None,
        "rounds": len(rounds),
        "round_ms": 1e3 * median(rounds) if rounds else None,
        "rounds_ms": [round(1e3 * s, 3) for s in rounds],
        "bytes_per_round": round(sums.bytes / max(1, len(rounds))),
        "unverified_rounds": sums.unverified,
        "seconds": progress.seconds,
        "parties_by_name": [asdict(party) for party in coordinator.standing.parties],
    }


def _said(coordinator: Any) -> str:
    epochs = coordinator.progress.epochs
    accuracy = epochs[-1].accuracy if epochs else None
    return "rounds" + (f", accuracy {100 * accuracy:.1f} %" if accuracy is not None else "")


def _bar(as_json: bool) -> Bar:
    return Bar(console=Console(stderr=True), transient=True, disable=as_json)
