"""One gRPC stream from opening to end: frames out, results in, clocks compared meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

import grpc

from narrows.edge.link import LinkSettings, measure_clock, open_channel
from narrows.edge.timing import ClockOffset
from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc

# A stream refused for these reasons is refused again: waiting would not help.
_FINAL = {
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
}


class Owed(NamedTuple):
    """What a server owes."""

    silent_s: float  # since it was last heard, or since it began to owe; 0: it owes nothing
    patience_s: float  # for a sign of life, once it was silent for too long


class StreamEnded(Exception):
    """The server closed the stream in good order, as it does before it stops."""


async def carry(
    address: str,
    settings: LinkSettings,
    next_frame: Callable[[], Awaitable[inference_pb2.Frame]],
    on_result: Callable[[inference_pb2.Result], None],
    on_offset: Callable[[ClockOffset | None], None],
    owed: Callable[[], Owed],
    on_sign: Callable[[], None],
) -> Exception:
    """Open a stream and carry frames until it breaks; returns why it did.

    `on_offset` hears of every ping that came back: the first says that the server is there. It
    hears None once at the end of the pings. A server that owes answers and says nothing is asked
    for a sign of life, of which `on_sign` hears; without one the stream is given up.
    """
    async with open_channel(address, settings) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        pinging = _ping(stub, settings, on_offset)  # first: its request goes ahead of any frame
        call = stub.Stream()
        watching = _watch(stub, settings, owed, on_sign)
        return await _first_failure(
            pinging, watching, _read(call, on_result), _write(call, next_frame)
        )


async def _ping(
    stub: inference_pb2_grpc.InferenceStub,
    settings: LinkSettings,
    on_offset: Callable[[ClockOffset | None], None],
) -> None:
    try:
        await measure_clock(stub, settings.connect_timeout_s, on_offset)
    except grpc.aio.AioRpcError as error:
        # A server without Ping is there all the same.
        if error.code() != grpc.StatusCode.UNIMPLEMENTED:
            raise
    on_offset(None)


async def _watch(
    stub: inference_pb2_grpc.InferenceStub,
    settings: LinkSettings,
    owed: Callable[[], Owed],
    on_sign: Callable[[], None],
) -> None:
    while True:
        now = owed()
        if now.silent_s < settings.silence_s:
            await asyncio.sleep(settings.silence_s - now.silent_s)
            continue
        try:
            await stub.Ping(inference_pb2.PingRequest(), timeout=now.patience_s)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise
        on_sign()


async def _read(call: Any, on_result: Callable[[inference_pb2.Result], None]) -> None:
    async for result in call:
        on_result(result)
    raise StreamEnded("the server closed the stream")


async def _write(call: Any, next_frame: Callable[[], Awaitable[inference_pb2.Frame]]) -> None:
    while True:
        frame = await next_frame()
        try:
            await call.write(frame)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the stream is over: the reader hears why


async def _first_failure(*parts: Coroutine[Any, Any, None]) -> Exception:
    """Run until one fails, end the others, return its error."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    errors = (task.exception() for task in done)
    error = next((error for error in errors if error is not None), None)
    if isinstance(error, (grpc.aio.AioRpcError, StreamEnded)):
        return error
    raise error or AssertionError("a stream's parts end with an error")  # ours: a bug


def is_final(error: Exception) -> bool:
    """Whether the next stream would end as this one did."""
    return isinstance(error, grpc.aio.AioRpcError) and error.code() in _FINAL


def was_silent(error: Exception) -> bool:
    """Whether it was given up for want of a sign of life."""
    code = error.code() if isinstance(error, grpc.aio.AioRpcError) else None
    return code is grpc.StatusCode.DEADLINE_EXCEEDED


def cause_of(error: Exception) -> str:
    """For a person."""
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error)
