"""One queue, one worker: what waits when the worker is free goes together, group by group.

At low load a batch is one frame and nobody waits; under load the queue fills while the worker is
busy and batches grow by themselves. A frame that cannot make its deadline is refused when it comes,
not after it has waited.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.admission import Job
from narrows.server.pace import Pace
from narrows.server.queue import FairQueue
from narrows.server.refusal import Refusal

Outcome = inference_pb2.Result | Refusal
Status = inference_pb2.FrameStatus


class Batcher:
    """Holds accepted jobs and hands them to `run_batch` in a thread."""

    def __init__(
        self,
        run_batch: Callable[[Sequence[Job]], list[Outcome]],
        max_batch: int,
        max_waiting: int,
        prepare_thread: Callable[[], None],
    ):
        self._run_batch = run_batch
        self._max_batch, self._max_waiting = max_batch, max_waiting
        self._waiting, self._pace = FairQueue[Job](), Pace()
        self._start: asyncio.Handle | None = None  # of the next batch
        self._busy = False
        self._thread = ThreadPoolExecutor(1, "tail", prepare_thread)

    def __len__(self) -> int:
        return len(self._waiting)

    def wait_ns(self) -> float:
        """How long a frame that came now would wait, by this replica's own pace."""
        waiting = len(self._waiting)
        return self._pace.until_answered_ns(waiting, self._busy) if waiting else 0.0

    def submit(self, job: Job) -> None:
        """Queue a job; its `answer` is set later.

        Raises:
            Refusal: the queue is full, or the job's turn would come after its deadline.
        """
        now_ns = time.monotonic_ns()
        if len(self._waiting) >= self._max_waiting:
            raise Refusal(
                Status.OVERLOADED,
                f"{len(self._waiting)} frames wait already: slow down",
                retry_after_ms=round(self.wait_ns() / 1e6),
            )
        self._check_deadline(job, now_ns)
        self._pace.arrived(now_ns)
        self._waiting.add(job)
        if not self._busy:
            self._begin()

    def _check_deadline(self, job: Job, now_ns: int) -> None:
        if job.deadline_ns is None or not (self._waiting or self._busy):
            return  # a free server tries: what it learned of its pace may have been a bad moment
        ahead = self._waiting.ahead_of(job.device)
        needed_ns = self._pace.until_answered_ns(ahead, self._busy)
        left_ns = job.deadline_ns - now_ns
        if needed_ns > left_ns:
            raise Refusal(
                Status.DEADLINE_EXCEEDED,
                f"{left_ns / 1e6:.0f} ms left, but {ahead} frames before it: about "
                f"{needed_ns / 1e6:.0f} ms",
                retry_after_ms=round((needed_ns - left_ns) / 1e6) + 1,
            )

    def _begin(self) -> None:
        """Start a batch, or give it its time to fill; called only while the worker is free."""
        missing = self._max_batch - len(self._waiting)
        wait_ns = self._time_to_fill_ns(missing) if missing > 0 else 0.0
        if self._start is not None:
            if missing > 0:
                return  # one is about to start
            self._start.cancel()
        loop = asyncio.get_running_loop()
        self._start = (
            loop.call_later(wait_ns / 1e9, self._run, loop)
            if wait_ns
            else loop.call_soon(self._run, loop)  # what came in the same moment goes along
        )

    def _time_to_fill_ns(self, missing: int) -> float:
        if not self._pace.gap_ns:
            return 0.0
        first = next(self._waiting.in_order(), None)
        if first is None:
            return 0.0
        due_ns = first.deadline_ns or first.received_ns + int(self._pace.batch_ns)
        slack_ns = due_ns - time.monotonic_ns() - self._pace.batch_ns
        return self._pace.wait_ns(missing, slack_ns)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        started_ns, self._start = time.monotonic_ns(), None
        batch = self._next_batch(started_ns)
        if batch:
            self._busy = True
            self._thread.submit(self._in_thread, loop, batch, started_ns)

    def _in_thread(
        self, loop: asyncio.AbstractEventLoop, batch: Sequence[Job], started_ns: int
    ) -> None:
        outcomes = self._guarded(batch)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._finished, batch, outcomes, started_ns)

    def _finished(self, batch: Sequence[Job], outcomes: Sequence[Outcome], started_ns: int) -> None:
        self._busy = False
        self._pace.served(len(batch), time.monotonic_ns() - started_ns)
        for job, outcome in zip(batch, outcomes, strict=True):
            _settle(job, outcome)
        if self._waiting:
            self._begin()

    def _next_batch(self, now_ns: int) -> list[Job]:
        """The most urgent job and those of its group; late and cancelled ones are taken out."""
        batch: list[Job] = []
        gone: set[int] = set()
        for job in self._waiting.in_order():
            if job.answer.done():  # its stream is gone
                gone.add(id(job))
            elif job.expired(now_ns):
                late = Refusal(Status.DEADLINE_EXCEEDED, "its time ran out while it waited")
                _settle(job, late)
                gone.add(id(job))
            elif len(batch) < self._max_batch and (not batch or job.group == batch[0].group):
                batch.append(job)
                gone.add(id(job))
        self._waiting.remove(gone)
        return batch

    def _guarded(self, batch: Sequence[Job]) -> list[Outcome]:
        try:
            return self._run_batch(batch)
        except Exception as error:  # a bug must cost its batch, not the server
            return [Refusal(Status.INTERNAL, f"the server failed on this frame: {error!r}")] * len(
                batch
            )

    def close(self) -> None:
        """Run nothing more; what waits is never answered."""
        if self._start is not None:
            self._start.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)


def _settle(job: Job, outcome: Outcome) -> None:
    if job.answer.done():
        return
    if isinstance(outcome, Refusal):
        job.answer.set_exception(outcome)
    else:
        job.answer.set_result(outcome)
