"""The device's loop with a policy: every frame has an answer by its deadline, whatever the link.

As edge/device.py, but for what is sent being chosen frame by frame; where nothing is, or its answer
is late, the device's own stands in. A server that stays away ends nothing.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from narrows.edge.board.watch import HeatWatch
from narrows.edge.device import Ended, drive
from narrows.edge.outcome import LINK, NOT_ENCODED, NOTHING, Outcome
from narrows.edge.pace import Pace
from narrows.edge.policy.policy import Decision
from narrows.edge.record import Tally
from narrows.edge.run import Coded, DeviceSettings, OnRecord, Renew, Run
from narrows.edge.session import Session
from narrows.edge.source import SourceFrame
from narrows.edge.steer import Seen, Steer
from narrows.errors import LinkError, NarrowsError

if TYPE_CHECKING:
    from narrows.edge.spool import Spool  # SQLite, for who keeps frames

WORTH_KEEPING = frozenset({"link", "refused"})  # answered here for want of a better


def run_steered(
    source: Iterator[SourceFrame],
    steer: Steer,
    settings: DeviceSettings,
    on_record: OnRecord,
    tally: Tally | None = None,
    renew: Renew | None = None,
    spool: "Spool | None" = None,
    on_stop: Callable[[], None] = lambda: None,
    heat: HeatWatch | None = None,
) -> dict[str, Any]:
    """Have every frame of `source` answered; returns the summary, as `run_device` does.

    `settings.link.deadline_ms` is when the own answer stands in. `renew` gives a `Steer`.
    `spool` keeps what the server did not answer, though it has an own answer; not what the policy
    was sure enough of. While the board is hot by `heat`, frames are fewer and cost it less.
    """
    tally = tally if tally is not None else Tally()
    run = Run(
        source, steer, settings, on_record, tally, renew, settings.digest, spool, on_stop, heat
    )
    return asyncio.run(drive(run, _send_all, steer))


async def _send_all(
    run: Run, session: Session, worker: ThreadPoolExecutor, stop: asyncio.Event
) -> set[asyncio.Future[Outcome]]:
    """Capture, choose and send until the source ends or `stop`; the frames still in flight."""
    loop, in_flight = asyncio.get_running_loop(), set[asyncio.Future[Outcome]]()
    pace = Pace(run.settings.fps, stop)
    while not stop.is_set():
        captured_ns = await pace.due(run.one_in)
        steer = run.encoder
        assert isinstance(steer, Steer)
        looked = None if stop.is_set() else await loop.run_in_executor(worker, _look, run, steer)
        if looked is None:
            break
        run.tally.captured += 1
        frame, seen = looked
        if isinstance(seen, Exception):
            run.finish(frame, None, Outcome(0, NOT_ENCODED, str(seen)))
            continue
        if not run.settings.fps:
            captured_ns = seen.features.started_ns
        decision = steer.choose(seen, captured_ns, run.one_in)
        crowded = run.settings.fps is not None and session.full
        local = decision.choice.kind == "local"
        if local or crowded:
            own = steer.own_outcome(seen, captured_ns, 0, decision.why)
            if run.backlog is None or (local and decision.why not in WORTH_KEEPING):
                run.finish(frame, None, own, decision)
                continue
            point = run.settings.points[0]
            alone = await loop.run_in_executor(worker, steer.code_alone, seen, point)
            coded = Coded(run.tally.captured, frame, alone, point)
            run.settle(coded, Outcome(0, LINK, decision.why), own, decision)
            continue
        try:
            await session.room()
        except LinkError as error:
            run.finish(frame, None, steer.own_outcome(seen, captured_ns, 0, "link"), decision)
            raise Ended(error, in_flight) from None
        payload = await loop.run_in_executor(worker, steer.code, seen, decision)
        if payload.kind == "nothing":
            session.give_back()
            run.finish(frame, None, Outcome(0, NOTHING, "nothing in it", answered_by="local"))
            continue
        level = decision.choice.level if payload.kind == "packet" else None
        coded = Coded(run.tally.captured, frame, payload, level)
        sent = session.send(payload, captured_ns)
        in_flight.add(sent)
        sent.add_done_callback(in_flight.discard)
        sent.add_done_callback(_finisher(run, steer, coded, seen, captured_ns, decision))
    return in_flight


def _look(run: Run, steer: Steer) -> tuple[SourceFrame, Seen | Exception] | None:
    """Capture the next frame and compute its features; None at the source's end."""
    frame = next(run.source, None)
    if frame is None:
        return None
    try:
        return frame, steer.look(frame.image)
    except (NarrowsError, OSError, ValueError) as error:  # one strange picture
        return frame, error


def _finisher(
    run: Run, steer: Steer, coded: Coded, seen: Seen, captured_ns: int, decision: Decision
) -> Callable[[asyncio.Future[Outcome]], None]:
    def finish(sent: asyncio.Future[Outcome]) -> None:
        outcome, own = sent.result(), None
        if not outcome.ok and seen.own is not None:
            own = steer.own_outcome(seen, captured_ns, outcome.frame_id, outcome.status)
        run.settle(coded, outcome, own, decision)

    return finish
