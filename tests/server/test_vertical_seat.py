"""One party's place: at most one question, and the newest stream of it."""

import asyncio

import pytest

from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.server.vertical.seat import GONE, Answer, Seat


def share(round: int) -> bytes:
    return pb.CoordinatorMessage(share=pb.Share(round=round)).SerializeToString()


def shares(ask: int, round: int) -> pb.PartyMessage:
    return pb.PartyMessage(ask=ask, shares=pb.Shares(round=round))


def running(scenario):
    """A test that is a coroutine."""

    def test():
        asyncio.run(asyncio.wait_for(scenario(), 200))

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


async def asked(seat: Seat, round: int) -> "asyncio.Task[Answer]":
    """A question on its way."""
    task = asyncio.create_task(seat.ask(share(round)))
    await asyncio.sleep(0)
    return task


def seated() -> tuple[Seat, object]:
    seat, stream = Seat("bank"), object()
    seat.sit(stream, pb.Hello(name="bank"))
    return seat, stream


async def next_of(seat: Seat, stream: object) -> pb.CoordinatorMessage:
    return await seat.questions(stream).__anext__()


@running
async def test_a_question_is_answered_by_its_number():
    seat, stream = seated()
    task = await asked(seat, 7)
    question = await next_of(seat, stream)
    assert question.share.round == 7
    seat.answered(shares(question.ask, 7))
    assert await task == Answer("shares", pb.Shares(round=7).SerializeToString())


@running
async def test_who_is_not_here_is_not_waited_for():
    assert (await Seat("bank").ask(share(1))).kind == GONE


@running
async def test_a_newer_question_takes_the_place_of_an_older_one():
    seat, stream = seated()
    first = await asked(seat, 1)
    second = await asked(seat, 2)
    assert (await first).kind == GONE
    question = await next_of(seat, stream)
    assert question.share.round == 2  # the first was never written
    assert not second.done()


@running
async def test_a_late_answer_is_a_sign_of_life_and_no_answer():
    seat, stream = seated()
    await asked(seat, 1)
    late = await next_of(seat, stream)
    task = await asked(seat, 2)
    seat.heard_s = 0.0
    seat.answered(shares(late.ask, 1))
    assert seat.heard_s > 0
    assert not task.done()
    question = await next_of(seat, stream)
    seat.answered(shares(question.ask, 2))
    seat.answered(shares(question.ask, 3))  # a second answer is none
    assert pb.Shares.FromString((await task).body).round == 2


@running
async def test_an_answer_before_any_question_is_none():
    seat, _ = seated()
    seat.answered(shares(0, 1))
    seat.answered(pb.PartyMessage(ask=1))
    task = await asked(seat, 1)
    assert not task.done()


@running
async def test_a_stream_that_breaks_takes_its_question_with_it():
    seat, stream = seated()
    task = await asked(seat, 1)
    assert seat.leave(stream)
    assert (await task).kind == GONE
    assert not seat.present
    assert [question async for question in seat.questions(stream)] == []


@running
async def test_a_newer_stream_takes_the_seat_and_the_old_one_ends():
    seat, old = seated()
    old_ends = asyncio.create_task(next_of(seat, old))
    task = await asked(seat, 1)
    await old_ends
    new = object()
    seat.sit(new, pb.Hello(name="bank", terms_digest=b"1"))
    assert (await task).kind == GONE
    assert seat.hello.terms_digest == b"1"
    assert not seat.leave(old)  # its end is not the party's
    assert seat.present
    with pytest.raises(StopAsyncIteration):
        await next_of(seat, old)


@running
async def test_the_old_streams_end_does_not_swallow_the_news_of_a_question_to_the_new_one():
    seat, old = seated()
    waiting = asyncio.create_task(next_of(seat, old))
    await asyncio.sleep(0)  # it waits for news
    new = object()
    task = asyncio.create_task(seat.ask(share(5)))  # begins after `sit`, before the old one wakes
    seat.sit(new, pb.Hello(name="bank"))
    with pytest.raises(StopAsyncIteration):
        await waiting
    question = await asyncio.wait_for(next_of(seat, new), 200)
    seat.answered(shares(question.ask, 5))
    assert (await task).kind == "shares"
