"""A replica: one gRPC endpoint with its queue, decoder and tail in one process.

The same class runs alone and inside a Ray actor. It stays compressed until the last moment: what
waits in the queue is the packet.
"""

import asyncio
import itertools
import logging
import math
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import grpc
import torch
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from narrows.codec.manifest import Manifest
from narrows.errors import BundleError, ConfigError
from narrows.protos.narrows.v1 import (
    bundles_pb2,
    bundles_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
)
from narrows.security.credentials import server_credentials
from narrows.server.admission import Job, admit
from narrows.server.batching import Batcher
from narrows.server.bundles import BundleService
from narrows.server.figures import Figures
from narrows.server.framelog import FrameLog
from narrows.server.guard import NO_DEVICE, Guard, GuardInterceptor, Visitor
from narrows.server.history import History
from narrows.server.refusal import Refusal
from narrows.server.registry import Registry, load_bundle, load_registry
from narrows.server.samples import Sample
from narrows.server.scaling import Load
from narrows.server.settings import ServerSettings
from narrows.server.spans import trace_frame
from narrows.server.streams import FrameStream
from narrows.server.verification import SpotChecks
from narrows.server.worker import TailWorker, warm_up
from narrows.telemetry.traces import open_traces

log = logging.getLogger(__name__)
FRAMING_SLACK = 64 << 10  # protobuf around a payload; beyond it gRPC itself refuses the message
VERIFIER = "verification"  # goes as a device among the others, so that it takes a share like one
SERVICES = (
    inference_pb2.DESCRIPTOR.services_by_name["Inference"].full_name,
    bundles_pb2.DESCRIPTOR.services_by_name["Bundles"].full_name,
)


class Replica(inference_pb2_grpc.InferenceServicer):
    """Accepts frames, answers each as soon as its own batch is done, drains when told to."""

    def __init__(self, settings: ServerSettings, registry: Registry):
        self._settings, self._registry = settings, registry
        self._guard = Guard(settings.tls, settings.quotas)
        self._batcher = Batcher(
            TailWorker(settings.threads).run,
            settings.max_batch,
            settings.max_waiting,
            # OpenMP counts threads per calling thread, and Ray starts actors with one.
            partial(torch.set_num_threads, settings.threads),
        )
        self._streams: set[FrameStream] = set()
        self._spot_checks = SpotChecks(settings.verify_share)
        self._reloading = asyncio.Lock()
        self._health = health.aio.HealthServicer()
        self.name = f"{socket.gethostname()}/{os.getpid()}"
        self._traces = open_traces("narrows-server")
        self._frame_log, self._stream_numbers = FrameLog(), itertools.count(1)
        self._figures = Figures()
        self._figures.waiting.set_function(lambda: len(self._batcher))
        self._figures.streams.set_function(lambda: len(self._streams))
        self.port = 0

    @classmethod
    async def start(cls, settings: ServerSettings) -> "Replica":
        """Load, warm up, listen; returns when frames are welcome.

        Raises:
            BundleError: a bundle does not hold together.
            ConfigError: the address cannot be listened on.
        """
        registry = await asyncio.to_thread(
            load_registry, settings.bundles, settings.trust, settings.tail.device
        )
        for bundle in registry.by_name.values():
            await asyncio.to_thread(warm_up, bundle, settings)
        replica = cls(settings, registry)
        await replica._listen()
        return replica

    async def _listen(self) -> None:
        interceptors = (GuardInterceptor(self._guard),)
        self._server = grpc.aio.server(interceptors=interceptors, options=_options(self._settings))
        inference_pb2_grpc.add_InferenceServicer_to_server(self, self._server)
        bundles_pb2_grpc.add_BundlesServicer_to_server(BundleService(self._registry), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            tls = self._settings.tls
            self.port = (
                self._server.add_insecure_port(address)
                if tls is None
                else self._server.add_secure_port(address, server_credentials(tls))
            )
        except RuntimeError as error:
            raise ConfigError(f"cannot listen on {address}: {error}") from None
        await self._server.start()
        for name in ("", *SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def reload(self) -> None:
        """Serve what the bundles' folders hold now. One that does not hold together is left out."""
        await self.accept(self._settings.bundles)
        self.announce()

    async def accept(self, folders: Sequence[Path]) -> None:
        """The first half of a reload: take the new versions' packets, tell no device yet.

        Where replicas share a port all do so before any announces, since the device that one tells
        may send to another.
        """
        async with self._reloading:
            await self._accept(folders)

    def announce(self) -> None:
        """The second half: devices fetch what was accepted."""
        self._registry.announce()

    async def _accept(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            try:
                manifest = await asyncio.to_thread(Manifest.load, folder)
                served = self._registry.by_name.get(manifest.name)
                if served is None or served.manifest.digest == manifest.digest:
                    continue
                bundle = await asyncio.to_thread(
                    load_bundle, folder, self._settings.trust, self._settings.tail.device
                )
                await asyncio.to_thread(warm_up, bundle, self._settings)
            except BundleError as error:
                log.error("the version before is served on: %s", error)
                continue
            self._registry.accept(bundle)
            log.info("%s %s... is taken now", manifest.name, manifest.digest[:8])

    async def drain(self) -> None:
        """Take no new frames, answer the accepted ones, stop. Bounded by `drain_seconds`."""
        self._registry.close()
        for stream in tuple(self._streams):
            stream.leave()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.drain_seconds)
        self._batcher.close()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.flush)

    def load(self) -> Load:
        """How busy this replica is."""
        return Load(self._batcher.wait_ns() / 1e6, len(self._streams))

    def shed(self, share: float) -> None:
        """Let that share of the streams end in good order; their devices open new ones."""
        streams = sorted(self._streams, key=id)
        for stream in streams[: math.ceil(share * len(streams))]:
            stream.leave()

    def spot_checks(self) -> list[tuple[bytes, bytes]]:
        """Frames and what was answered to them, for `recompute` elsewhere; each once."""
        return self._spot_checks.take()

    async def recompute(self, frame: bytes) -> bytes | None:
        """This replica's answer to another's frame; None where it has none."""
        message = inference_pb2.Frame.FromString(frame)
        message.deadline_ms = 0
        received_ns = time.monotonic_ns()
        try:
            job = admit(message, received_ns, self._registry, self._settings, History(), VERIFIER)
            self._batcher.submit(job)
            return (await job.answer).SerializeToString()
        except Refusal as refusal:
            log.debug("nothing to verify by: %s", refusal.message)
            return None

    def samples(self) -> list[Sample]:
        """What this replica has counted since its start."""
        return self._figures.samples()

    @property
    def manifests(self) -> list[Manifest]:
        """Of the bundles it serves."""
        return [bundle.manifest for bundle in self._registry.by_name.values()]

    async def Infer(
        self, request: inference_pb2.Frame, context: grpc.aio.ServicerContext
    ) -> inference_pb2.Result:
        """One frame, one answer; a refusal is a status inside it."""
        visitor = await self._visitor(context)
        return await self._answer(request, time.monotonic_ns(), History(), visitor, 0)

    async def Ping(
        self, request: inference_pb2.PingRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.PingReply:
        """This replica's clock and how busy it is, at once."""
        load = self.load()
        return inference_pb2.PingReply(
            received_ns=time.monotonic_ns(),
            wait_ms=round(load.wait_ms),
            streams=load.streams,
            unserved=bool(request.bundle) and request.bundle not in self._registry.by_name,
        )

    async def Stream(
        self,
        request_iterator: AsyncIterator[inference_pb2.Frame],
        context: grpc.aio.ServicerContext,
    ) -> None:
        """Frames in, answers out in any order."""
        history, visitor = History(), await self._visitor(context)
        number = next(self._stream_numbers)

        async def check() -> None:
            if self._guard.revoked(visitor):
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, NO_DEVICE)

        stream = FrameStream(
            context,
            lambda frame, received_ns: self._answer(frame, received_ns, history, visitor, number),
            check,
            self._settings.max_in_flight,
        )
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    async def _visitor(self, context: grpc.aio.ServicerContext) -> Visitor:
        visitor = self._guard.visitor(context)
        if visitor is None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, NO_DEVICE)
        assert visitor is not None  # abort raises
        return visitor

    async def _answer(
        self,
        frame: inference_pb2.Frame,
        received_ns: int,
        history: History,
        visitor: Visitor,
        stream: int,
    ) -> inference_pb2.Result:
        job: Job | None = None
        try:
            job = admit(frame, received_ns, self._registry, self._settings, history, visitor.name)
            self._guard.check(visitor, job.bundle.manifest.name)
            self._batcher.submit(job)
            result = await job.answer
            self._spot_checks.consider(frame, result)
        except Refusal as refusal:
            result = _refused(frame.frame_id, refusal, received_ns, job)
        result.answered_by = self.name
        result.queue_depth = len(self._batcher)
        _stamp(result.timing)
        loop = asyncio.get_running_loop()  # the answer goes first
        loop.call_soon(self._note, visitor.shown, stream, frame, job, result)
        return result

    def _note(
        self,
        device: str,
        stream: int,
        frame: inference_pb2.Frame,
        job: Job | None,
        result: inference_pb2.Result,
    ) -> None:
        """Count, log and trace a frame that has its result."""
        self._figures.count(device, frame, job, result)
        bundle = job.bundle.manifest.name if job else ""
        self._frame_log.note(device, stream, bundle, frame, result)
        if self._traces is not None:
            trace_frame(self._traces, device, bundle, frame, result)


def _refused(
    frame_id: int, refusal: Refusal, received_ns: int, job: Job | None
) -> inference_pb2.Result:
    status = inference_pb2.FrameStatus(
        code=refusal.code,
        message=refusal.message,
        retry_after_ms=refusal.retry_after_ms,
        cheaper_point=job.cheaper_point if job and refusal.for_want_of_time else None,
    )
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
