"""Frames that the link did not carry: into the spool, and to the server once it is back.

One at a time goes behind the live frames, the first captured first. Its answer is told before it is
deleted: a power cut between the two has it told again, and never loses it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, TypeVar

from narrows.edge.link import Backoff
from narrows.edge.outcome import CLOSED, DEADLINE, DROPPED, LATER, LINK, OK, Outcome
from narrows.edge.payload import Payload
from narrows.edge.session import Session
from narrows.edge.spooled import SpooledFrame
from narrows.edge.terms import Terms

if TYPE_CHECKING:
    from narrows.edge.spool import Spool  # SQLite, for who keeps frames

log = logging.getLogger(__name__)
MOST_WAITING = 64  # frames for the disk: what a card is too slow for is told, not heaped up
DEADLINE_MS = 30_000  # of a frame that has waited for hours: live ones go first on the server too
Tell = Callable[[SpooledFrame, Outcome], None]
T = TypeVar("T")


class Backlog:
    """One run's dealings with its spool, which a thread of its own reads and writes."""

    def __init__(self, spool: "Spool", tell: Tell):
        """`tell` hears of each frame that leaves the spool, and why."""
        self.first_id = spool.last_id  # this run's frames are numbered after it
        self._spool, self._tell = spool, tell
        self._disk = ThreadPoolExecutor(1, "spool")
        self._news = asyncio.Event()  # a frame was appended, or the last one was
        self._storing: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()
        self._ending = False
        self._sent: SpooledFrame | None = None  # on its way
        self._gone = False  # it was dropped meanwhile
        self._skipped = 0  # the largest id that was answered and could not be deleted
        self._backoff = Backoff(0.5, 10.0)

    def keep(self, make: Callable[[], SpooledFrame], done: Callable[[bool], None]) -> None:
        """Store a frame, made in the spool's thread; then call `done` with whether it is stored."""
        if len(self._storing) >= MOST_WAITING:
            log.warning("a frame was not kept: the disk is too slow")
            self._counts["unkept"] += 1
            return done(False)
        storing = asyncio.ensure_future(self._store(make, done))
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)

    async def send_all(self, session: Session) -> None:
        """Send what is stored whenever there is room behind live frames, until `finish`."""
        while True:
            self._news.clear()
            frame = await self._oldest()
            if frame is not None:
                await self._send(session, frame)
            elif self._ending:
                return
            else:
                await self._news.wait()

    async def finish(
        self, session: Session, sending: asyncio.Future[None], stop: asyncio.Event
    ) -> dict[str, Any]:
        """The source has ended: send the rest while the link is up, or until `stop`.

        `sending` is the task of `send_all`. Returns the counts of the summary.
        """
        while self._storing:
            await asyncio.wait(self._storing)
        self._ending = True
        self._news.set()
        stopped = asyncio.ensure_future(stop.wait())
        gone = asyncio.ensure_future(session.link_gone())
        await asyncio.wait((sending, stopped, gone), return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, stopped, gone):
            task.cancel()
        ended, *_ = await asyncio.gather(sending, stopped, gone, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended
        return await self._summary()

    async def _store(self, make: Callable[[], SpooledFrame], done: Callable[[bool], None]) -> None:
        try:
            dropped = await self._on_disk(lambda: self._spool.append(make()))
        except OSError as error:
            log.warning("a frame was not kept: %s", error)
            self._counts["unkept"] += 1
            return done(False)
        self._counts["kept"] += 1
        done(True)
        for frame in dropped:
            self._drop(frame)
        self._news.set()

    def _drop(self, frame: SpooledFrame) -> None:
        if self._sent is not None and frame.id == self._sent.id:
            self._gone = True  # its answer may come yet
            return
        self._counts["dropped"] += 1
        self._tell(frame, Outcome(0, DROPPED, "the spool was full: --spool-mb"))

    async def _send(self, session: Session, frame: SpooledFrame) -> None:
        await session.room_behind()
        self._sent, self._gone = frame, False
        terms = Terms(frame.bundle, frame.tasks, DEADLINE_MS)
        outcome = await session.send(_payload(frame), terms=terms)
        self._sent = None
        if outcome.status not in LATER:
            self._backoff.reset()
            self._counts["answered" if outcome.status == OK else "failed"] += 1
            self._tell(frame, outcome)
            await asyncio.shield(self._acknowledge(frame))
        elif self._gone:
            self._drop(frame)
        elif outcome.status not in (DEADLINE, LINK, CLOSED):  # the server is busy
            await asyncio.sleep(self._backoff.next_s())

    async def _acknowledge(self, frame: SpooledFrame) -> None:
        try:
            await self._on_disk(lambda: self._spool.acknowledge(frame.id))
        except OSError as error:
            log.warning("%s will be answered again: %s", frame.name, error)
            self._skipped = max(self._skipped, frame.id)

    async def _oldest(self) -> SpooledFrame | None:
        try:
            return await self._on_disk(lambda: self._spool.oldest(self._skipped))
        except OSError as error:
            log.warning("the spool cannot be read: %s", error)
            return None

    async def _on_disk(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, action)

    async def _summary(self) -> dict[str, Any]:
        try:
            left: int | None = await self._on_disk(self._spool.__len__)
        except OSError:
            left = None
        self._disk.shutdown()
        counts = ("kept", "answered", "failed", "dropped", "unkept")
        told = {name: self._counts[name] for name in counts}
        return told | {"left": left, "set_aside": self._spool.set_aside or None}


def _payload(frame: SpooledFrame) -> Payload:
    place = frame.width, frame.height, monotonic_ns()
    return Payload(frame.kind, frame.data, *place, 0, 0, 0, view=frame.view)
