"""The load of `narrows bench serve`: MLPerf's scenarios over gRPC, in a process of its own.

Run as `python -m narrows.simulations.bench.load REQUEST.json`; prints one JSON object. A frame's
latency counts from the moment it was due, so that a slow answer does not delay the next question
unseen (coordinated omission). Scenarios as in MLPerf Inference (Reddi et al., ISCA 2020).
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, monotonic_ns

import grpc

from narrows.protos.narrows.v1 import inference_pb2
from narrows.simulations.events.arrivals import poisson

STREAM = "/narrows.v1.Inference/Stream"
QUERY = 8  # frames of a query in scenario multi
STAMPS = ("due_ns", "received_ns", "queue_ns", "served_ns", "sent_ns", "answered_ns", "batch")


@dataclass(frozen=True)
class Request:
    """What to send where."""

    address: str
    packets: str  # a file: packets or pictures, each behind its length as four bytes
    scenario: str
    seconds: float
    streams: int
    window: int  # frames in flight on each stream in scenario offline
    rate: float  # frames per second of all streams in scenario server
    deadline_ms: int
    seed: int
    echo: bool = False  # the other end sends every message back as it is
    keep: bool = False  # a row of STAMPS for every answer
    pictures: bool = False  # what is sent are pictures, not packets


@dataclass
class Tally:
    """What became of the frames."""

    sent: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    late: int = 0  # answered after the deadline
    latencies_ms: list[float] = field(default_factory=list)
    overheads_ms: list[float] = field(default_factory=list)  # without decoding and tail
    batches: list[int] = field(default_factory=list)
    by_stream: list[int] = field(default_factory=list)
    stamps: list[tuple[int, ...]] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0


class Stream:
    """One device: frames out, answers in, matched by id."""

    def __init__(self, request: Request, packets: list[bytes], tally: Tally, number: int):
        self._request, self._packets = request, packets
        self._tally, self._number = tally, number
        self._waiting: dict[int, tuple[int, asyncio.Future[None]]] = {}
        self._next = 1
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __aenter__(self) -> "Stream":
        self._channel = grpc.aio.insecure_channel(
            self._request.address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._call = self._channel.stream_stream(STREAM)(self._messages())
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._outbox.put_nowait(None)
        await asyncio.wait({self._reader}, timeout=10)
        self._reader.cancel()
        await self._channel.close()
        for _, future in self._waiting.values():
            self._tally.failed += 1
            future.cancel()

    def send(self, due_ns: int) -> asyncio.Future[None]:
        """Send one frame, due at that moment; done when its answer is here."""
        number, self._next = self._next, self._next + 1
        frame = inference_pb2.Frame(frame_id=number, deadline_ms=self._request.deadline_ms)
        payload = self._packets[number % len(self._packets)]
        if self._request.pictures:
            frame.image = payload
        else:
            frame.packet = payload
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = (due_ns, future)
        self._tally.sent += 1
        self._outbox.put_nowait(frame.SerializeToString())
        return future

    async def _messages(self) -> AsyncIterator[bytes]:
        while (message := await self._outbox.get()) is not None:
            yield message

    async def _read(self) -> None:
        try:
            async for data in self._call:
                self._received(data, monotonic_ns())
        except grpc.aio.AioRpcError:
            return  # what waits is counted as failed

    def _received(self, data: bytes, now_ns: int) -> None:
        tally = self._tally
        result = inference_pb2.Result()
        if self._request.echo:
            result.frame_id = inference_pb2.Frame.FromString(data).frame_id
        else:
            result.ParseFromString(data)
        due_ns, future = self._waiting.pop(result.frame_id)
        if result.status.code == inference_pb2.FrameStatus.OK:
            latency_ms = (now_ns - due_ns) / 1e6
            served_ms = (result.timing.decode_ns + result.timing.tail_ns) / 1e6
            tally.answered += 1
            tally.late += bool(self._request.deadline_ms) and latency_ms > self._request.deadline_ms
            tally.latencies_ms.append(latency_ms)
            tally.overheads_ms.append(latency_ms - served_ms)
            tally.batches.append(result.timing.batch_size)
            tally.by_stream[self._number] += 1
            if self._request.keep:
                tally.stamps.append(_stamps(due_ns, result.timing, now_ns))
        else:
            tally.refused += 1
        future.set_result(None)


def _stamps(due_ns: int, timing: inference_pb2.ServerTiming, now_ns: int) -> tuple[int, ...]:
    """One clock all the way: both ends are on this machine."""
    served_ns = timing.decode_ns + timing.tail_ns
    ends = timing.sent_ns, now_ns, timing.batch_size
    return due_ns, timing.received_ns, timing.queue_ns, served_ns, *ends


async def single(streams: list[Stream], request: Request, end: float) -> None:
    """One frame after the other."""
    while monotonic() < end:
        await streams[0].send(monotonic_ns())


async def multi(streams: list[Stream], request: Request, end: float) -> None:
    """Eight frames at once, the next eight after the last answer."""
    while monotonic() < end:
        due_ns = monotonic_ns()
        await asyncio.gather(*(streams[0].send(due_ns) for _ in range(QUERY)))


async def server(streams: list[Stream], request: Request, end: float) -> None:
    """Frames at random moments, `rate` a second on average, whether answered or not."""
    began, waiting = monotonic(), []
    for after, number in poisson(request.rate, len(streams), end - began, request.seed):
        due = began + after
        await asyncio.sleep(max(0.0, due - monotonic()))
        waiting.append(streams[number].send(round(due * 1e9)))
    if waiting:
        await asyncio.wait(waiting, timeout=10)


async def offline(streams: list[Stream], request: Request, end: float) -> None:
    """As many as go: every stream keeps its window full."""

    async def keep_full(stream: Stream) -> None:
        flying: set[asyncio.Future[None]] = set()
        while monotonic() < end:
            while len(flying) < request.window:
                flying.add(stream.send(monotonic_ns()))
            _, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
        if flying:  # the time was up before the first frame
            await asyncio.wait(flying, timeout=10)

    await asyncio.gather(*(keep_full(stream) for stream in streams))


SCENARIOS: dict[str, Callable[[list[Stream], Request, float], Awaitable[None]]] = {
    "single": single, "multi": multi, "server": server, "offline": offline,
}  # fmt: skip


async def run(request: Request) -> Tally:
    """Warm up for a twentieth of the time, then measure."""
    packets = read_packets(Path(request.packets))
    scenario = SCENARIOS[request.scenario]
    for share in (0.05, 1.0):
        tally = Tally(by_stream=[0] * request.streams)
        streams = [Stream(request, packets, tally, i) for i in range(request.streams)]
        for stream in streams:
            await stream.__aenter__()
        tally.began = monotonic()
        await scenario(streams, request, tally.began + share * request.seconds)
        tally.ended = monotonic()
        await asyncio.gather(*(stream.__aexit__() for stream in streams))
    return tally


def write_packets(path: Path, packets: list[bytes]) -> None:
    path.write_bytes(b"".join(len(p).to_bytes(4, "little") + p for p in packets))


def read_packets(path: Path) -> list[bytes]:
    data, packets = path.read_bytes(), []
    while data:
        size = int.from_bytes(data[:4], "little")
        packets.append(data[4 : 4 + size])
        data = data[4 + size :]
    return packets


if __name__ == "__main__":
    told = Request(**json.loads(Path(sys.argv[1]).read_text()))
    print(json.dumps(asdict(asyncio.run(run(told)))))
