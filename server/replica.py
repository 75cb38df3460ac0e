"""A replica: one gRPC endpoint with its queue, decoder and tail in one process.

The same class runs alone and inside a Ray actor. It stays compressed until the last moment: what
waits in the queue is the packet.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator
from functools import partial

import grpc
import torch
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from narrows.errors import ConfigError
from narrows.protos.narrows.v1 import (
    bundles_pb2,
    bundles_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
)
from narrows.server.admission import admit
from narrows.server.batching import Batcher
from narrows.server.bundles import BundleService
from narrows.server.history import History
from narrows.server.refusal import Refusal
from narrows.server.registry import Registry, load_registry
from narrows.server.settings import ServerSettings
from narrows.server.worker import TailWorker, warm_up

log = logging.getLogger(__name__)
FRAMING_SLACK = 64 << 10  # protobuf around a payload; beyond it gRPC itself refuses the message
SERVICES = (
    inference_pb2.DESCRIPTOR.services_by_name["Inference"].full_name,
    bundles_pb2.DESCRIPTOR.services_by_name["Bundles"].full_name,
)


class Replica(inference_pb2_grpc.InferenceServicer):
    """Accepts frames, answers each as soon as its own batch is done, drains when told to."""

    def __init__(self, settings: ServerSettings, registry: Registry):
        self._settings, self._registry = settings, registry
        self._batcher = Batcher(
            TailWorker(settings.threads).run,
            settings.max_batch,
            settings.max_waiting,
            # OpenMP counts threads per calling thread, and Ray starts actors with one.
            partial(torch.set_num_threads, settings.threads),
        )
        self._draining = asyncio.Event()
        self._health = health.aio.HealthServicer()
        self._name = f"{socket.gethostname()}/{os.getpid()}"
        self.port = 0

    @classmethod
    async def start(cls, settings: ServerSettings) -> "Replica":
        """Load, warm up, listen; returns when frames are welcome.

        Raises:
            BundleError: a bundle does not hold together.
            ConfigError: the address cannot be listened on.
        """
        registry = await asyncio.to_thread(load_registry, settings.bundles)
        for bundle in registry.by_name.values():
            await asyncio.to_thread(warm_up, bundle)
        replica = cls(settings, registry)
        await replica._listen()
        return replica

    async def _listen(self) -> None:
        self._server = grpc.aio.server(options=_options(self._settings))
        inference_pb2_grpc.add_InferenceServicer_to_server(self, self._server)
        bundles_pb2_grpc.add_BundlesServicer_to_server(BundleService(self._registry), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError(f"cannot listen on {address}: {error}") from None
        await self._server.start()
        self._worker = asyncio.create_task(self._batcher.run())
        for name in ("", *SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def drain(self) -> None:
        """Take no new frames, answer the accepted ones, stop. Bounded by `drain_seconds`."""
        self._draining.set()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.drain_seconds)
        self._worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._worker
        self._batcher.close()

    async def Infer(
        self, request: inference_pb2.Frame, context: grpc.aio.ServicerContext
    ) -> inference_pb2.Result:
        """One frame, one answer; a refusal is a status inside it."""
        return await self._answer(request, time.monotonic_ns(), History())

    async def Ping(
        self, request: inference_pb2.PingRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.PingReply:
        """This replica's clock, at once."""
        return inference_pb2.PingReply(received_ns=time.monotonic_ns())

    async def Stream(
        self,
        request_iterator: AsyncIterator[inference_pb2.Frame],
        context: grpc.aio.ServicerContext,
    ) -> None:
        """Frames in, answers out in any order. Unread frames press back on the sender."""
        room = asyncio.Semaphore(self._settings.max_in_flight)
        writing = asyncio.Lock()
        tasks: set[asyncio.Task] = set()
        history = History()

        async def answer(frame: inference_pb2.Frame, received_ns: int) -> None:
            try:
                result = await self._answer(frame, received_ns, history)
                async with writing:
                    await context.write(result)
            finally:
                room.release()

        try:
            async for frame in self._until_draining(context):
                await room.acquire()
                task = asyncio.create_task(answer(frame, time.monotonic_ns()))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # only a broken stream leaves any
                task.cancel()

    async def _until_draining(
        self, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[inference_pb2.Frame]:
        """The stream's frames, until it ends or this replica drains."""
        draining = asyncio.create_task(self._draining.wait())
        try:
            while not draining.done():
                reading = asyncio.create_task(context.read())
                await asyncio.wait({reading, draining}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    return
                frame = reading.result()
                if frame is grpc.aio.EOF:
                    return
                yield frame
        finally:
            draining.cancel()

    async def _answer(
        self, frame: inference_pb2.Frame, received_ns: int, history: History
    ) -> inference_pb2.Result:
        try:
            job = admit(frame, received_ns, self._registry, self._settings, history)
            self._batcher.submit(job)
            result = await job.answer
        except Refusal as refusal:
            log.debug("frame %d refused: %s", frame.frame_id, refusal.message)
            result = _refused(frame.frame_id, refusal, received_ns)
        result.answered_by = self._name
        result.queue_depth = len(self._batcher)
        _stamp(result.timing)
        return result


def _refused(frame_id: int, refusal: Refusal, received_ns: int) -> inference_pb2.Result:
    status = inference_pb2.FrameStatus(code=refusal.code, message=refusal.message)
    timing = inference_pb2.ServerTiming(received_ns=received_ns)
    return inference_pb2.Result(frame_id=frame_id, status=status, timing=timing)


def _stamp(timing: inference_pb2.ServerTiming) -> None:
    """The rest of the time until now is the reply's: the parts add up."""
    timing.sent_ns = time.monotonic_ns()
    named = timing.queue_ns + timing.decode_ns + timing.tail_ns
    timing.reply_ns = timing.sent_ns - timing.received_ns - named


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_frame_bytes + FRAMING_SLACK),
        ("grpc.so_reuseport", int(settings.share_port)),
        # Defaults never notice a silent partition or a frozen peer.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.ping_timeout_ms", 5_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
