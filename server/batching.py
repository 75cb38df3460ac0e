"""One queue, one worker: whatever waits when the worker is free goes together, oldest first.

No artificial delay: at low load a batch is one frame, under load the queue fills while the worker
is busy and batches grow by themselves.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.admission import Job
from narrows.server.refusal import Refusal

Outcome = inference_pb2.Result | Refusal
Status = inference_pb2.FrameStatus


class Batcher:
    """Holds accepted jobs and hands them to `run_batch` in a thread, group by group."""

    def __init__(
        self,
        run_batch: Callable[[Sequence[Job]], list[Outcome]],
        max_batch: int,
        max_waiting: int,
        prepare_thread: Callable[[], None],
    ):
        self._run_batch = run_batch
        self._max_batch, self._max_waiting = max_batch, max_waiting
        self._waiting: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "tail", prepare_thread)

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, job: Job) -> None:
        """Queue a job; its `answer` is set later. Raises Refusal when the queue is full."""
        if len(self._waiting) >= self._max_waiting:
            raise Refusal(Status.OVERLOADED, f"{len(self._waiting)} frames wait already: slow down")
        self._waiting.append(job)
        self._arrived.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._next_batch(time.monotonic_ns())
            if batch:
                outcomes = await loop.run_in_executor(self._thread, self._guarded, batch)
                for job, outcome in zip(batch, outcomes, strict=True):
                    _settle(job, outcome)
            if not self._waiting:
                self._arrived.clear()

    def _next_batch(self, now_ns: int) -> list[Job]:
        """The oldest job and those of its group; expired and cancelled ones are taken out."""
        batch: list[Job] = []
        left: deque[Job] = deque()
        for job in self._waiting:
            if job.answer.done():  # its stream is gone
                continue
            if job.expired(now_ns):
                late = Refusal(Status.DEADLINE_EXCEEDED, "its time ran out while it waited")
                _settle(job, late)
            elif len(batch) < self._max_batch and (not batch or job.group == batch[0].group):
                batch.append(job)
            else:
                left.append(job)
        self._waiting = left
        return batch

    def _guarded(self, batch: Sequence[Job]) -> list[Outcome]:
        try:
            return self._run_batch(batch)
        except Exception as error:  # a bug must cost its batch, not the server
            return [Refusal(Status.INTERNAL, f"the server failed on this frame: {error!r}")] * len(
                batch
            )

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _settle(job: Job, outcome: Outcome) -> None:
    if job.answer.done():
        return
    if isinstance(outcome, Refusal):
        job.answer.set_exception(outcome)
    else:
        job.answer.set_result(outcome)
