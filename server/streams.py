"""One device's stream: frames are read, each is answered as soon as it is done, in any order."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc

from narrows.protos.narrows.v1 import inference_pb2

Answer = Callable[[inference_pb2.Frame, int], Awaitable[inference_pb2.Result]]


class FrameStream:
    """Reads until the device ends the stream, or until it is to leave; answers what was read."""

    def __init__(
        self,
        context: grpc.aio.ServicerContext,
        answer: Answer,
        check: Callable[[], Awaitable[None]],
        max_in_flight: int,
    ):
        """`answer`: a frame and the moment it came. `check`: before each frame; may end the call.

        Frames beyond `max_in_flight` unanswered ones stay unread, which presses back on the sender.
        """
        self._context, self._answer, self._check = context, answer, check
        self._room = asyncio.Semaphore(max_in_flight)
        self._writing = asyncio.Lock()
        self._answering: set[asyncio.Task] = set()

    async def run(self) -> None:
        """Until the last answer is written. Raises what breaks the call."""
        self._reader = asyncio.ensure_future(self._read())
        try:
            await asyncio.wait({self._reader})
            if not self._reader.cancelled():
                self._reader.result()
            await asyncio.gather(*self._answering)
        finally:
            self._reader.cancel()
            for task in self._answering:  # only a broken stream leaves any
                task.cancel()

    def leave(self) -> None:
        """Read no more: the device will open its next stream elsewhere."""
        self._reader.cancel()

    async def _read(self) -> None:
        while (frame := await self._context.read()) is not grpc.aio.EOF:
            await self._room.acquire()
            await self._check()
            task = asyncio.create_task(self._respond(frame, time.monotonic_ns()))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _respond(self, frame: inference_pb2.Frame, received_ns: int) -> None:
        try:
            result = await self._answer(frame, received_ns)
            async with self._writing:
                await self._context.write(result)
        finally:
            self._room.release()
