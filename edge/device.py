"""The device's loop: capture and encode in a worker thread, send, collect one record per frame.

A frame is captured when there is room for it in the window, so no backlog ages on the device;
with a frame rate it is captured when due, and what it waits for room counts as its `wait`.
"""

import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from narrows.edge.backlog import Backlog
from narrows.edge.board.watch import HeatWatch
from narrows.edge.encoder import Encoder
from narrows.edge.local import LocalAnswerer
from narrows.edge.observer import LinkObserver
from narrows.edge.outcome import LINK, NOT_ENCODED, OK, Label, Outcome
from narrows.edge.pace import Pace
from narrows.edge.record import FrameRecord, Tally
from narrows.edge.renewal import watch_bundle
from narrows.edge.run import Coded, DeviceSettings, OnRecord, Renew, Run, judge
from narrows.edge.session import Session
from narrows.edge.source import SourceFrame
from narrows.errors import LinkError
from narrows.telemetry.traces import open_traces

if TYPE_CHECKING:
    from narrows.edge.spool import Spool  # SQLite, for who keeps frames


def run_device(
    source: Iterator[SourceFrame],
    encoder: Encoder,
    settings: DeviceSettings,
    on_record: OnRecord,
    tally: Tally | None = None,
    renew: Renew | None = None,
    spool: "Spool | None" = None,
    on_stop: Callable[[], None] = lambda: None,
    heat: HeatWatch | None = None,
) -> dict[str, Any]:
    """Send every frame of `source`; returns the summary (`Tally.summary`) as a JSON object.

    `error` in it says why a run ended early: a server that stays away ends it, with an outcome
    for every frame captured. SIGINT and SIGTERM end the capture; what is in flight is answered.
    `renew` fetches the version of the bundle that has that digest: LinkError, if it is not there.
    `spool` keeps what is not answered, and what it holds is sent whenever there is room. With it
    and a frame rate, a frame for which there is no room is kept instead of waiting.
    `on_stop` is called at the signal: it ends a source that waits for its next frame.
    `heat` has frames taken at a lower rate while the board is hot; none that is taken is left out.

    Raises:
        LinkError: no server could be reached to begin with.
        SourceError: the one picture asked for is not readable.
    """
    tally = tally if tally is not None else Tally()
    run = Run(
        source, encoder, settings, on_record, tally, renew, settings.digest, spool, on_stop, heat
    )
    return asyncio.run(drive(run, _send_all))


SendAll = Callable[
    [Run, Session, ThreadPoolExecutor, asyncio.Event], Awaitable[set[asyncio.Future[Outcome]]]
]


async def drive(
    run: Run, send_all: SendAll, observer: LinkObserver | None = None
) -> dict[str, Any]:
    """Open a session, have `send_all` send every frame over it, await the last outcomes."""
    settings, error = run.settings, ""
    traces = open_traces("narrows-edge")
    async with Session(
        settings.server, settings.link, settings.bundle, settings.tasks, traces, observer
    ) as session:
        run.tally.started()
        watchers = list(_watchers(run))
        with ThreadPoolExecutor(1, "capture") as worker, _stop_signal(run.on_stop) as stop:
            async with _backlog(run, session, stop) as spooled:
                try:
                    frames = await send_all(run, session, worker, stop)
                except Ended as ended:
                    frames, error = ended.frames, str(ended.cause)
                finally:
                    for watcher in watchers:
                        watcher.cancel()
                await asyncio.gather(*frames)
                await asyncio.sleep(0)  # the last outcomes' callbacks
    return run.tally.summary(
        reconnects=session.reconnects,
        resent=session.resent,
        strays=session.strays,
        spool=spooled or None,
        heat=run.heat.summary() if run.heat else None,
        error=error,
    )


@contextlib.asynccontextmanager
async def _backlog(
    run: Run, session: Session, stop: asyncio.Event
) -> AsyncIterator[dict[str, Any]]:
    """Send what is in the spool beside the loop; its counts, once left."""
    counts: dict[str, Any] = {}
    if run.spool is None:
        yield counts
        return
    run.backlog = Backlog(run.spool, run.tell_spooled)
    sending = asyncio.ensure_future(run.backlog.send_all(session))
    try:
        yield counts
        counts |= await run.backlog.finish(session, sending, stop)
    finally:
        sending.cancel()


def _watchers(run: Run) -> Iterator[asyncio.Future[None]]:
    """What runs beside the loop until it ends: newer versions are looked for, and heat."""
    settings = run.settings
    if run.renew:
        watching = watch_bundle(settings.server, settings.link, settings.bundle, run.on_version)
        yield asyncio.ensure_future(watching)
    if run.heat:
        yield asyncio.ensure_future(run.heat.watch())


class Ended(Exception):
    """The link failed; these frames have outcomes, or will have."""

    def __init__(self, cause: LinkError, frames: set[asyncio.Future[Outcome]]):
        super().__init__(str(cause))
        self.cause, self.frames = cause, frames


async def _send_all(
    run: Run, session: Session, worker: ThreadPoolExecutor, stop: asyncio.Event
) -> set[asyncio.Future[Outcome]]:
    """Capture and send until the source ends or `stop`; the frames still in flight."""
    loop, in_flight = asyncio.get_running_loop(), set[asyncio.Future[Outcome]]()
    pace = Pace(run.settings.fps, stop)
    for point in itertools.cycle(run.settings.points):
        due_ns = await pace.due(run.one_in)
        crowded = run.keeps_pace and session.full
        try:
            if not crowded:
                await session.room()
        except LinkError as error:
            raise Ended(error, in_flight) from None
        waited_ns = monotonic_ns() - due_ns if run.settings.fps else 0
        produced = None if stop.is_set() else await loop.run_in_executor(worker, run.produce, point)
        if not crowded and (produced is None or isinstance(produced[1], Outcome)):
            session.give_back()
        if produced is None:
            break
        frame, made = produced
        run.tally.captured += 1
        if isinstance(made, Outcome):
            run.finish(frame, point, made)
            continue
        coded = Coded(run.tally.captured, frame, made, point if made.kind == "packet" else None)
        if crowded:
            run.settle(coded, Outcome(0, LINK, "no room in the window"))
            continue
        sent = session.send(made, made.started_ns - waited_ns)
        in_flight.add(sent)
        sent.add_done_callback(in_flight.discard)
        sent.add_done_callback(_finisher(run, coded))
    return in_flight


def _finisher(run: Run, coded: Coded) -> Callable[[asyncio.Future[Outcome]], None]:
    return lambda sent: run.settle(coded, sent.result())


@contextlib.contextmanager
def _stop_signal(on_stop: Callable[[], None]) -> Iterator[asyncio.Event]:
    """Set by the first SIGINT or SIGTERM; a second one ends the process as usual."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def on_signal() -> None:
        stop.set()
        loop.run_in_executor(None, on_stop)
        for number in numbers:
            loop.remove_signal_handler(number)

    with contextlib.suppress(RuntimeError, ValueError):  # not the main thread: nothing to catch
        for number in numbers:
            loop.add_signal_handler(number, on_signal)
    yield stop
    for number in numbers:
        loop.remove_signal_handler(number)


def run_local(
    source: Iterator[SourceFrame],
    answerer: LocalAnswerer,
    labels: Sequence[str],
    folders: tuple[str, ...],
    on_record: OnRecord,
    tally: Tally | None = None,
) -> dict[str, Any]:
    """Answer every frame on the device, one after another; returns the summary."""
    tally = tally if tally is not None else Tally()
    tally.started()
    for number, frame in enumerate(source, 1):
        tally.captured += 1
        record = _local_record(number, frame, answerer, labels, folders)
        tally.add(record)
        on_record(record)
    return tally.summary(reconnects=0, resent=0, strays=0, spool=None, heat=None, error="")


def _local_record(
    number: int,
    frame: SourceFrame,
    answerer: LocalAnswerer,
    labels: Sequence[str],
    folders: Sequence[str],
) -> FrameRecord:
    try:
        found = answerer.answer(frame.image)
    except (OSError, ValueError) as error:  # one strange picture
        outcome = Outcome(number, NOT_ENCODED, str(error))
        return FrameRecord(frame.name, frame.label, None, None, outcome, {})
    label = Label(found.index, labels[found.index], found.probability)
    outcome = Outcome(number, OK, labels=(label,), answered_by="local")
    stages = {"preprocess": found.preprocess_ns / 1e6, "network": found.network_ns / 1e6}
    correct = judge(frame, outcome.labels, folders)
    return FrameRecord(frame.name, frame.label, correct, None, outcome, stages, frame.image)
