"""One device's conversation with a server: frames in, exactly one outcome each, whatever happens.

A frame is kept until it has an outcome. When the stream breaks, a new one is opened after a
backoff and every kept frame is sent again under its old id; a second answer to an id is dropped.
So recovery sits at the ends, and the server keeps no state for it.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic, monotonic_ns

from narrows.edge.kept import Kept
from narrows.edge.link import (
    MAX_MESSAGE_BYTES,
    Backoff,
    LinkSettings,
    addresses_of,
)
from narrows.edge.observer import LinkObserver, Unobserved
from narrows.edge.outcome import (
    CLOSED,
    DEADLINE,
    LINK,
    NEED_KEY_FRAME,
    RETRYABLE,
    Outcome,
    boxes_of,
    labels_of,
    mask_of,
    status_name,
)
from narrows.edge.payload import Payload
from narrows.edge.spans import end_span
from narrows.edge.steering import least_loaded
from narrows.edge.stream import Owed, carry, cause_of, is_final, was_silent
from narrows.edge.terms import Terms
from narrows.edge.timing import ClockOffset, DeviceStamps, frame_timing
from narrows.edge.window import Window
from narrows.errors import LinkError
from narrows.protos.narrows.v1 import inference_pb2
from narrows.telemetry.traces import Traces

FIRST_ATTEMPT_S = 2.0  # to connect
SLOWEST = 8_000  # bytes a second that a link is taken to carry


class Session:
    """`async with Session("host:50051", LinkSettings(), "bundle") as session: ...`

    Of several addresses, "host:50051,other:50051", each stream goes to one that is not busy.

    Entering connects and compares clocks; it raises LinkError when the server stays away for
    `give_up_s`. Use it from one event loop.
    """

    def __init__(
        self,
        address: str,
        settings: LinkSettings,
        bundle: str = "",
        tasks: Sequence[str] = (),
        traces: Traces | None = None,
        observer: LinkObserver | None = None,
    ):
        """`tasks`: which to ask of every frame; none: all the bundle has. `traces`: where to.

        `observer` hears what the link does.

        Raises:
            ConfigError: `address` is not host:port, nor several of them with commas.
        """
        self._addresses = addresses_of(address)
        self.address = self._addresses[0]  # of the last stream
        self.settings = settings
        self.resent = 0  # sendings beyond each frame's first
        self.strays = 0  # answers nobody waited for: duplicates, or too late
        self._terms, self._traces = Terms(bundle, tuple(tasks), settings.deadline_ms), traces
        self._observer = observer if observer is not None else Unobserved()
        self._next_id = 1
        self._kept: dict[int, Kept] = {}
        self._outbox: asyncio.Queue[int] = asyncio.Queue()
        self._window = Window(settings.window)
        self._clock: ClockOffset | None = None
        self._up = False  # the stream that is open now has shown a server
        self._connections = 0
        self._connected = asyncio.Event()
        self._alive_s = monotonic()  # when the server was last known to be there
        self._given_up = 0  # streams, for their silence, since the last answer
        self._backoff = Backoff(settings.backoff_initial_s, settings.backoff_cap_s)
        self._failure: LinkError | None = None

    async def __aenter__(self) -> "Session":
        self._runner = asyncio.ensure_future(self._stay_connected())
        connected = asyncio.ensure_future(self._connected.wait())
        try:
            await asyncio.wait(
                {connected, self._runner},
                timeout=self.settings.first_wait_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            await self.close()
            raise
        finally:
            connected.cancel()
        if self._failure:
            raise self._failure
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def reconnects(self) -> int:
        """Connections after the first."""
        return max(0, self._connections - 1)

    @property
    def connected(self) -> bool:
        """Whether the stream that is open now has shown a server."""
        return self._up

    @property
    def full(self) -> bool:
        """Whether `room` would have to wait."""
        return self._window.locked()

    async def close(self) -> None:
        """Hang up. Frames without an outcome get CLOSED."""
        self._failure = self._failure or LinkError(f"{self.address}: the session is closed")
        self._runner.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._runner
        self._settle_all(CLOSED, "the session was closed before an answer came")

    async def room(self) -> None:
        """Take a place in the window, waiting for one; `send` or `give_back` must follow.

        Raises:
            LinkError: the server was given up.
        """
        await self._window.acquire()
        if self._failure:
            self._window.release()
            raise self._failure

    async def room_behind(self) -> None:
        """`room` for a frame that has time: when the link is up and no live frame is held up."""
        await self._window.acquire_behind()

    async def link_gone(self) -> None:
        """Wait until no server is there."""
        await self._window.link_gone()

    def give_back(self) -> None:
        """Return a place taken by `room` that no frame will use."""
        self._window.release()

    def send(
        self, payload: Payload, started_ns: int | None = None, terms: Terms | None = None
    ) -> asyncio.Future[Outcome]:
        """Send a frame for which `room` has been taken; the future never fails.

        `started_ns` is the instant its latency counts from, if earlier than its encoding. `terms`
        are the session's unless given.
        """
        terms = self._terms if terms is None else terms
        frame_id, self._next_id = self._next_id, self._next_id + 1
        frame = inference_pb2.Frame(
            frame_id=frame_id,
            bundle=terms.bundle,
            source_width=payload.width,
            source_height=payload.height,
            tasks=terms.tasks,
            **{payload.kind: payload.data},  # type: ignore[arg-type]
        )
        started_ns = payload.started_ns if started_ns is None else started_ns
        kept = self._keep(frame, payload, started_ns, terms.deadline_ms)
        if self._failure:
            self._settle(kept, kept.unanswered(LINK, str(self._failure)))
        elif frame.ByteSize() > MAX_MESSAGE_BYTES:
            message = f"{frame.ByteSize()} bytes: at most {MAX_MESSAGE_BYTES} fit one message"
            self._settle(kept, kept.unanswered("TOO_LARGE", message))
        else:
            self._outbox.put_nowait(frame_id)
        return kept.outcome

    async def ask(self, payload: Payload) -> Outcome:
        """Send one frame and wait for its outcome. Raises LinkError as `room` does."""
        await self.room()
        return await self.send(payload)

    def _keep(
        self, frame: inference_pb2.Frame, payload: Payload, started_ns: int, deadline_ms: int
    ) -> Kept:
        loop = asyncio.get_running_loop()
        expires_ns = started_ns + deadline_ms * 1_000_000
        left_s = max(0.0, (expires_ns - monotonic_ns()) / 1e9)
        stages = (payload.preprocess_ns, payload.head_ns, payload.code_ns)
        kept = Kept(
            frame=frame,
            stamps=DeviceStamps(*stages, started_ns=started_ns, sent_ns=monotonic_ns()),
            expires_ns=expires_ns,
            outcome=loop.create_future(),
            expiry=loop.call_later(left_s, self._expire, frame.frame_id, deadline_ms),
            backoff=Backoff(self.settings.backoff_initial_s, self.settings.backoff_cap_s),
            key=payload.key,
            view=payload.view,
            encoding_ns=payload.started_ns,
        )
        if self._traces is not None:
            kept.span = self._traces.begin("frame", started_ns)
            frame.traceparent = kept.span.traceparent
        self._kept[frame.frame_id] = kept
        return kept

    async def _stay_connected(self) -> None:
        """Open streams, one after another, until cancelled or given up."""
        attempt = 0
        while True:
            self._queue_all_again()
            opened_s = monotonic()
            self.address = await least_loaded(self._addresses, self.settings, self._terms.bundle)
            error = await carry(
                self.address,
                replace(self.settings, connect_timeout_s=self._connect_s(attempt)),
                self._next_frame,
                self._on_result,
                self._on_offset,
                self._owed,
                self._on_sign,
            )
            self._observer.on_down()
            self._window.on_link(up=False)
            attempt = 0 if self._up else attempt + 1
            self._given_up += self._up and was_silent(error)
            self._up = False
            self._drop_what_broke_it(error)
            if self._alive_s > opened_s:  # it was up: the outage starts now
                self._alive_s = monotonic()
            if self._alive_s - opened_s > self.settings.backoff_cap_s:
                self._backoff.reset()
            left_s = self._alive_s + self.settings.give_up_s - monotonic()
            if left_s <= 0 or is_final(error):
                return self._give_up(error)
            await asyncio.sleep(min(self._backoff.next_s(), left_s))

    def _connect_s(self, attempt: int) -> float:
        """Short attempts first: a link that heals has dropped an earlier attempt's packets."""
        return min(self.settings.connect_timeout_s, FIRST_ATTEMPT_S * 1.5 ** min(attempt, 9))

    def _owed(self) -> Owed:
        """More patience after each stream given up for silence: the link may just be slow."""
        waiting = [kept for kept in self._kept.values() if kept.on_wire]
        if not waiting or not self._up:
            return Owed(0.0, 0.0)
        since_s = max(self._alive_s, min(kept.stamps.sent_ns for kept in waiting) / 1e9)
        ahead_s = sum(kept.wire.message_bytes for kept in waiting) / SLOWEST
        sign_s = self.settings.sign_s * 2.0 ** min(self._given_up, 5)
        return Owed(monotonic() - since_s, sign_s + ahead_s)

    def _on_sign(self) -> None:
        self._alive_s = monotonic()

    def _drop_what_broke_it(self, error: Exception) -> None:
        """A message over the server's limit ends the stream: sent again, it would end the next."""
        on_wire = [kept for kept in self._kept.values() if kept.on_wire]
        if on_wire and "larger than max" in cause_of(error):
            largest = max(on_wire, key=lambda kept: kept.wire.message_bytes)
            self._settle(largest, largest.unanswered("TOO_LARGE", cause_of(error)))

    def _queue_all_again(self) -> None:
        """A new stream knows of no frame: send all that are kept, oldest first."""
        self._clock = None  # it may be another machine
        self._outbox = asyncio.Queue()
        for frame_id, kept in self._kept.items():
            if kept.sendings:
                kept.stand_alone()
            kept.on_wire = False
            if kept.retry is None:
                self._outbox.put_nowait(frame_id)

    async def _next_frame(self) -> inference_pb2.Frame:
        while True:
            kept = self._kept.get(await self._outbox.get())
            if kept is not None and not kept.on_wire:
                self.resent += kept.sendings > 0
                frame = kept.stamp_sending()
                self._observer.on_sent(frame.frame_id, kept.wire.total_bytes)
                return frame

    def _on_offset(self, offset: ClockOffset | None) -> None:
        self._alive_s = monotonic()
        self._connections += not self._up
        if not self._up:
            self._observer.on_up()
            self._window.on_link(up=True)
        self._up = True
        if offset is not None:
            self._observer.on_ping(offset.round_trip_ns)
        if offset is None:
            self._connected.set()
        elif self._clock is None or offset.round_trip_ns < self._clock.round_trip_ns:
            self._clock = offset

    def _on_result(self, result: inference_pb2.Result) -> None:
        now = monotonic_ns()
        self._observer.on_result(result)
        self._alive_s = monotonic()
        self._backoff.reset()
        self._given_up = 0
        kept = self._kept.get(result.frame_id)
        status = status_name(result.status)
        if kept is None or (status in RETRYABLE and not kept.on_wire):
            self.strays += 1
        elif status in RETRYABLE and self._may_help(kept, status):
            kept.on_wire = False
            kept.stand_alone()
            delay_s = 0.0 if status == NEED_KEY_FRAME else kept.backoff.next_s()
            delay_s = max(delay_s, result.status.retry_after_ms / 1e3)  # the server knows better
            kept.retry = asyncio.get_running_loop().call_later(delay_s, self._retry, kept)
        else:
            self._settle(kept, self._outcome(kept, result, status, now))

    def _may_help(self, kept: Kept, status: str) -> bool:
        """Whether to send again what the server would take from another sending."""
        if status == NEED_KEY_FRAME:
            return kept.key is not None
        return kept.backoff.attempt < self.settings.max_retries

    def _outcome(
        self, kept: Kept, result: inference_pb2.Result, status: str, now_ns: int
    ) -> Outcome:
        stamps = replace(kept.stamps, answered_ns=now_ns)
        return Outcome(
            frame_id=result.frame_id,
            status=status,
            message=result.status.message,
            labels=labels_of(result),
            boxes=boxes_of(result, kept.view),
            mask=mask_of(result, (kept.frame.source_width, kept.frame.source_height), kept.view),
            timing=frame_timing(stamps, result.timing, self._clock),
            wire=kept.wire,
            sendings=kept.sendings,
            answered_by=result.answered_by,
            queue_depth=result.queue_depth,
            cheaper_point=(
                result.status.cheaper_point if result.status.HasField("cheaper_point") else None
            ),
            batch_size=result.timing.batch_size,
        )

    def _retry(self, kept: Kept) -> None:
        kept.retry = None
        self._outbox.put_nowait(kept.frame.frame_id)

    def _expire(self, frame_id: int, deadline_ms: int) -> None:
        kept = self._kept[frame_id]
        message = (
            f"no answer from {self.address} within {deadline_ms} ms, sent {kept.sendings} times"
        )
        self._settle(kept, kept.unanswered(DEADLINE, message))

    def _give_up(self, error: Exception) -> None:
        why = "refused" if is_final(error) else f"no server for {self.settings.give_up_s:g} s"
        self._failure = LinkError(
            f"{self.address}: {why}: {cause_of(error)}: is `narrows serve` running there?"
        )
        self._settle_all(LINK, str(self._failure))

    def _settle_all(self, status: str, message: str) -> None:
        for kept in tuple(self._kept.values()):
            self._settle(kept, kept.unanswered(status, message))

    def _settle(self, kept: Kept, outcome: Outcome) -> None:
        """The one place where a frame gets its outcome and leaves."""
        del self._kept[kept.frame.frame_id]
        kept.expiry.cancel()
        if kept.retry is not None:
            kept.retry.cancel()
        end_span(kept, outcome)
        if not kept.outcome.done():  # its caller may have stopped waiting
            kept.outcome.set_result(outcome)
        self._window.release()
