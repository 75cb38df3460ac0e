"""A server that speaks the protocol and misbehaves on purpose: what a device must survive.

It answers a frame with its own bytes' length and CRC, so a caller can tell whose answer it got.
"""

import asyncio
import binascii
import enum
import itertools
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from time import monotonic_ns

import grpc

from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc

Status = inference_pb2.FrameStatus


MAX_RECEIVED = 1 << 20  # a message above it breaks its stream, as gRPC does


class Fault(enum.Enum):
    """How it misbehaves."""

    NONE = "none"
    SILENT = "silent"  # takes frames and answers none
    TWICE = "twice"  # answers every frame twice
    BACKWARDS = "backwards"  # answers in reverse, as soon as no more frames come
    HANGS_UP = (
        "hangs-up"  # breaks the stream at every fifth frame, half of the time after answering
    )
    CLOSES = "closes"  # ends the stream in good order after every third answer
    BUSY = "busy"  # says OVERLOADED to every frame's first sending
    ALWAYS_BUSY = "always-busy"
    STRANGERS = "strangers"  # also answers frames nobody sent
    NEWER = "newer"  # answers with a status of a later version
    LIES = "lies"  # claims impossible times


class FaultyServer:
    """`async with FaultyServer(Fault.TWICE) as server: server.address`"""

    def __init__(self, fault: Fault, port: int = 0):
        self.fault = fault
        self.seen: Counter[int] = Counter()  # sendings by frame id
        self.streams = 0
        self._port = port
        self._arrivals = itertools.count(1)

    async def __aenter__(self) -> "FaultyServer":
        self._server = grpc.aio.server(
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_RECEIVED)]
        )
        inference_pb2_grpc.add_InferenceServicer_to_server(_Servicer(self), self._server)
        self._port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Where it listens; a later server may take it over."""
        return self._port

    async def stop(self) -> None:
        """Go away at once: streams break."""
        await self._server.stop(0)

    async def answers(
        self, frames: AsyncIterator[inference_pb2.Frame], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[inference_pb2.Result]:
        """The answers of one stream, with the fault."""
        self.streams += 1
        if self.fault is Fault.BACKWARDS:
            async for result in _backwards(frames):
                yield result
            return
        answered = 0
        async for frame in frames:
            self.seen[frame.frame_id] += 1
            arrival = next(self._arrivals)
            for result in self._replies(frame):
                if self.fault is Fault.HANGS_UP and arrival % 10 == 5:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "hung up on purpose")
                yield result
                answered += 1
            if self.fault is Fault.HANGS_UP and arrival % 10 == 0:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "hung up on purpose")
            if self.fault is Fault.CLOSES and answered == 3:
                return

    def _replies(self, frame: inference_pb2.Frame) -> list[inference_pb2.Result]:
        good = answer(frame)
        busy = inference_pb2.Result(frame_id=frame.frame_id)
        busy.status.code, busy.status.message = Status.OVERLOADED, "full on purpose"
        first = self.seen[frame.frame_id] == 1
        if self.fault is Fault.ALWAYS_BUSY or (self.fault is Fault.BUSY and first):
            return [busy]
        if self.fault is Fault.SILENT:
            return []
        if self.fault is Fault.TWICE:
            return [good, good]
        if self.fault is Fault.STRANGERS:
            return [inference_pb2.Result(frame_id=frame.frame_id + 10**9), good]
        if self.fault is Fault.NEWER:
            good.status.code = 99  # type: ignore[assignment]
        if self.fault is Fault.LIES:
            good.timing.queue_ns = good.timing.tail_ns = good.timing.received_ns = 2**63
        return [good]


def answer(frame: inference_pb2.Frame) -> inference_pb2.Result:
    """An honest answer: label index = payload bytes, name = its CRC-32."""
    payload = frame.packet or frame.image
    now = monotonic_ns()
    result = inference_pb2.Result(frame_id=frame.frame_id, answered_by=f"faulty/{os.getpid()}")
    result.classification.labels.add(
        index=len(payload), name=f"{binascii.crc32(payload):08x}", probability=1.0
    )
    result.timing.received_ns, result.timing.sent_ns = now, now
    result.timing.batch_size = 1
    return result


async def _backwards(
    frames: AsyncIterator[inference_pb2.Frame],
) -> AsyncIterator[inference_pb2.Result]:
    """Collect what comes until the device waits, then answer the latest first."""
    arriving = aiter_task(frames)
    held: list[inference_pb2.Frame] = []
    while True:
        done, _ = await asyncio.wait([arriving], timeout=0.05 if held else None)
        if done:
            try:
                held.append(arriving.result())
            except StopAsyncIteration:
                return
            arriving = aiter_task(frames)
        else:
            for frame in reversed(held):
                yield answer(frame)
            held.clear()


def aiter_task(frames: AsyncIterator[inference_pb2.Frame]) -> "asyncio.Future[inference_pb2.Frame]":
    """The next frame, as something to wait for beside a timer."""
    return asyncio.ensure_future(frames.__anext__())


class _Servicer(inference_pb2_grpc.InferenceServicer):
    def __init__(self, server: FaultyServer):
        self._server = server

    async def Stream(
        self,
        request_iterator: AsyncIterator[inference_pb2.Frame],
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[inference_pb2.Result]:
        async for result in self._server.answers(request_iterator, context):
            yield result

    async def Ping(
        self, request: inference_pb2.PingRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.PingReply:
        return inference_pb2.PingReply(received_ns=monotonic_ns())


async def _run(fault: Fault, port: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with FaultyServer(fault, port) as server:
        print(server.port, flush=True)
        await stopped.wait()


def main() -> None:
    """Run one in a process of its own, so that it can be killed; prints its port."""
    import typer

    def serve(fault: Fault = Fault.NONE, port: int = 0) -> None:
        asyncio.run(_run(fault, port))

    typer.run(serve)


if __name__ == "__main__":
    main()
