"""Whose turn it is: fair among devices, urgent first, and nobody waits in vain."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.admission import Job
from narrows.server.batching import Batcher
from narrows.server.pace import Pace
from narrows.server.queue import FairQueue
from narrows.server.refusal import Refusal

MS = 1_000_000
Status = inference_pb2.FrameStatus


def job(device="a", due_ms=None, number=0, group=("g",), answer=None) -> Job:
    """A frame received now; `due_ms` from now."""
    now = time.monotonic_ns()
    deadline = None if due_ms is None else now + due_ms * MS
    return Job(number, device, None, None, group, frozenset(), (0, 0), now, deadline, answer)


def filled(*jobs: Job) -> FairQueue:
    queue = FairQueue()
    for each in jobs:
        queue.add(each)
    return queue


def test_a_flood_of_one_device_leaves_the_others_their_turn():
    flood = [job("flood", number=i) for i in range(20)]
    order = list(filled(*flood, job("b"), job("c")).in_order())
    assert {j.device for j in order[:3]} == {"flood", "b", "c"}
    assert [j.frame_id for j in order if j.device == "flood"] == list(range(20))


def test_of_one_round_the_most_urgent_goes_first():
    queue = filled(job("a", 900), job("b", 100), job("c"), job("d", 500), job("b", 1))
    assert [j.device for j in queue.in_order()] == ["b", "d", "a", "c", "b"]
    assert queue.ahead_of("b") == 5  # all go before a third of b
    assert queue.ahead_of("new") == 4


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 50)), max_size=40),
    st.data(),
)
def test_nothing_is_lost_or_doubled_and_shares_differ_by_one_frame(entries, data):
    jobs = [job(device, due, i) for i, (device, due) in enumerate(entries)]
    queue = filled(*jobs)
    order = list(queue.in_order())
    assert sorted(j.frame_id for j in order) == list(range(len(jobs)))
    served = order[: data.draw(st.integers(0, len(order)))]
    counts = {d: sum(j.device == d for j in served) for d in "abcd"}
    waiting = {d: sum(j.device == d for j in order) - counts[d] for d in "abcd"}
    assert all(
        counts[x] <= counts[y] + 1 for x in "abcd" for y in "abcd" if waiting[y]
    )  # nobody who waits is more than a frame behind
    queue.remove({id(j) for j in served})
    left = sorted(j.frame_id for j in queue.in_order())
    assert left == sorted(j.frame_id for j in order[len(served) :])
    assert len(queue) == len(jobs) - len(served)


def test_no_wait_at_low_load_and_a_short_one_under_a_dense_stream():
    pace = Pace()
    assert pace.wait_ns(8, 1e12) == 0  # nothing is known yet
    for i in range(50):
        pace.arrived(i * 20 * MS)
        pace.served(1, 10 * MS)
    assert pace.wait_ns(8, 1e12) == 0
    dense = Pace()
    for i in range(400):
        dense.arrived(i * MS // 10)
        dense.served(4, 10 * MS)
    assert 0 < dense.wait_ns(4, 1e12) <= MS  # a tenth of a batch at most
    assert dense.wait_ns(0, 1e12) == 0
    assert dense.wait_ns(4, -1.0) == 0  # the most urgent frame has nothing to spare


def served(scenario, run_batch, max_batch=4, max_waiting=100):
    async def whole():
        batcher = Batcher(run_batch, max_batch, max_waiting, lambda: None)
        try:
            return await asyncio.wait_for(scenario(batcher), 200)
        finally:
            batcher.close()

    return asyncio.run(whole())


def answer() -> asyncio.Future:
    return asyncio.get_running_loop().create_future()


def results(batch):
    return [inference_pb2.Result(frame_id=j.frame_id) for j in batch]


def test_a_frame_that_cannot_make_it_is_refused_at_once():
    def slowly(batch):
        time.sleep(0.05)
        return results(batch)

    async def scenario(batcher):
        for _ in range(3):
            first = job(answer=answer())
            batcher.submit(first)
            await first.answer
        waiting = [job(answer=answer(), number=i) for i in range(8)]
        for each in waiting:
            batcher.submit(each)
        with pytest.raises(Refusal) as refused:
            batcher.submit(job(due_ms=20, answer=answer()))
        batcher.submit(job("other", due_ms=20_000, answer=answer()))
        await asyncio.gather(*(j.answer for j in waiting))
        return refused.value

    refusal = served(scenario, slowly, max_batch=1)
    assert refusal.code == Status.DEADLINE_EXCEEDED
    assert refusal.retry_after_ms > 50


def test_a_bad_moment_does_not_shut_the_door_for_ever(monkeypatch):
    """One slow batch, and deadlines shorter than it: a free server takes frames and recovers."""
    now_ns, delays_ns = 10**9, iter([300 * MS])  # a clock of its own, which only batches move
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)

    def run(batch):
        nonlocal now_ns
        now_ns += next(delays_ns, 0)
        return results(batch)

    async def scenario(batcher):
        answered = []
        for number in range(30):
            each = job(due_ms=200, number=number, answer=answer())
            batcher.submit(each)
            answered.append((await each.answer).frame_id)
        return answered

    assert served(scenario, run) == list(range(30))


def test_a_batch_holds_one_group_and_every_frame_has_its_own_answer():
    batches = []

    def run(batch):
        batches.append([j.group for j in batch])
        return results(batch)

    async def scenario(batcher):
        jobs = [
            job(f"d{i % 3}", number=i, group=("even" if i % 2 == 0 else "odd",), answer=answer())
            for i in range(30)
        ]
        for each in jobs:
            batcher.submit(each)
        return [(j.frame_id, (await j.answer).frame_id) for j in jobs]

    pairs = served(scenario, run)
    assert all(a == b for a, b in pairs)
    assert len(pairs) == 30
    assert all(len(set(groups)) == 1 and len(groups) <= 4 for groups in batches)


def test_a_full_queue_refuses_and_a_gone_stream_frees_its_place():
    async def scenario(batcher):
        jobs = [job(number=i, answer=answer()) for i in range(5)]
        for each in jobs:
            batcher.submit(each)
        with pytest.raises(Refusal) as refused:
            batcher.submit(job(answer=answer()))
        for each in jobs[1:]:
            each.answer.cancel()
        await jobs[0].answer
        while len(batcher):
            await asyncio.sleep(0)
        return refused.value.code

    assert served(scenario, results, max_waiting=5) == Status.OVERLOADED
