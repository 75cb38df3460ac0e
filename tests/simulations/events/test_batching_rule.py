"""The simulated replica closes batches as the server's own batcher does, on the same arrivals."""

import asyncio
from random import Random
from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("simpy", reason="needs the server extra")

from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_loop import TimedThread, VirtualLoop

from narrows.protos.narrows.v1 import inference_pb2
from narrows.server import batching
from narrows.server.admission import Job
from narrows.server.refusal import Refusal
from narrows.simulations.events.clock import Clock
from narrows.simulations.events.replica import ReplicaLimits, SimulatedFrame, SimulatedReplica

MAX_BATCH, MAX_WAITING = 4, 12
Arrival = tuple[int, int, int, int | None]  # microseconds since the last, device, group, deadline


def duration_us(frames: int) -> int:
    return 4_000 + 1_500 * frames


def arrivals(gap_us: int) -> st.SearchStrategy[list[Arrival]]:
    deadline = st.none() | st.integers(2_000, 60_000)
    one = st.tuples(st.integers(1, gap_us), st.integers(0, 5), st.integers(0, 1), deadline)
    return st.lists(one, min_size=1, max_size=80)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from((150, 1_500, 20_000)).flatmap(arrivals))
def test_batches_and_refusals_are_the_servers(frames):
    assert simulated(frames) == real(frames)


def test_a_dense_stream_waits_for_a_batch_to_fill():
    frames = [(100, n % 6, 0, None) for n in range(60)]
    found = simulated(frames)
    assert found == real(frames)
    assert max(len(batch) for batch in found[0]) == MAX_BATCH


class FixedTimes:
    """Known durations; everything else takes none."""

    loop_ms = 0.0

    def batch_ns(self, size: int, group: object, rng: Random) -> int:
        return 1_000 * duration_us(size)

    def answer_ns(self, size: int, rng: Random) -> int:
        return 0

    def arrival_ns(self, busy: bool, rng: Random) -> int:
        return 0


def simulated(frames: list[Arrival]) -> tuple[list[list[int]], dict[int, str]]:
    """(batches by their frames' numbers, refusals by frame)."""
    clock = Clock()
    batches: dict[int, list[int]] = {}
    refused: dict[int, str] = {}

    def settled(frame: SimulatedFrame, status: str) -> None:
        if status == "OK":
            batches.setdefault(frame.started_ns, []).append(frame.of)
        else:
            refused[frame.of] = status

    limits = ReplicaLimits(MAX_BATCH, MAX_WAITING)
    replica = SimulatedReplica(clock, FixedTimes(), limits, Random(0), settled)
    now_us = 0
    for number, (gap_us, device, group, deadline_us) in enumerate(frames):
        now_us += gap_us
        patience_ns = None if deadline_us is None else 1_000 * deadline_us
        frame = SimulatedFrame(
            str(device), 1_000 * now_us, group, patience_ns=patience_ns, of=number
        )
        clock.after(1_000 * now_us, lambda frame=frame: replica.send(frame))
    clock.run()
    return [batches[start] for start in sorted(batches)], refused


def real(frames: list[Arrival]) -> tuple[list[list[int]], dict[int, str]]:
    """The same by server/batching.py, on a loop whose clock jumps."""
    loop = VirtualLoop()
    batches: list[list[int]] = []

    def run_batch(batch: list[Job]) -> list[inference_pb2.Result]:
        batches.append([job.frame_id for job in batch])
        return [inference_pb2.Result(frame_id=job.frame_id) for job in batch]

    async def go() -> dict[int, str]:
        batcher = batching.Batcher(run_batch, MAX_BATCH, MAX_WAITING, lambda: None)
        batcher._thread.shutdown()
        batcher._thread = TimedThread(loop, lambda size: duration_us(size) / 1e6)
        start, now_us, refused, jobs = loop.time(), 0, dict[int, str](), []
        for number, (gap_us, device, group, deadline_us) in enumerate(frames):
            now_us += gap_us
            await asyncio.sleep(start + now_us / 1e6 - loop.time())
            job = job_of(number, device, group, deadline_us, loop)
            try:
                batcher.submit(job)
                jobs.append(job)
            except Refusal as refusal:
                refused[number] = inference_pb2.FrameStatus.Code.Name(refusal.code)
        for outcome, job in zip(
            await asyncio.gather(*(j.answer for j in jobs), return_exceptions=True), jobs,
            strict=True,
        ):  # fmt: skip
            if isinstance(outcome, Refusal):
                refused[job.frame_id] = inference_pb2.FrameStatus.Code.Name(outcome.code)
        return refused

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "time", SimpleNamespace(monotonic_ns=loop.monotonic_ns))
        try:
            return batches, loop.run_until_complete(go())
        finally:
            loop.close()


def job_of(number: int, device: int, group: int, deadline_us: int | None, loop: VirtualLoop) -> Job:
    now_ns = loop.monotonic_ns()
    deadline_ns = None if deadline_us is None else now_ns + 1_000 * deadline_us
    return Job(
        number, str(device), None, None, (group,), frozenset(), (0, 0), now_ns, deadline_ns,
        loop.create_future(),
    )  # fmt: skip
