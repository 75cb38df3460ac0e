"""A frame steered by the policy: features and an own answer first, then what to do, then that.

image -> look (head, exit) -> choose (policy) -> code (packet or picture) or the own answer
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, monotonic_ns

from PIL import Image

from narrows.edge.encoder import FeatureEncoder, Features, ImageEncoder
from narrows.edge.outcome import LINK, OK, Label, Outcome
from narrows.edge.payload import Payload
from narrows.edge.policy.exit import ExitAnswer, ExitHead
from narrows.edge.policy.policy import DeadlinePolicy, Decision, Moment
from narrows.edge.timing import FrameTiming
from narrows.protos.narrows.v1 import inference_pb2

REFUSED = frozenset(
    {
        inference_pb2.FrameStatus.OVERLOADED,
        inference_pb2.FrameStatus.QUOTA_EXCEEDED,
        inference_pb2.FrameStatus.DEADLINE_EXCEEDED,
    }
)


@dataclass(frozen=True)
class Seen:
    """A picture's features, and what the device thinks of it by itself."""

    image: Image.Image
    features: Features
    own: ExitAnswer | None
    own_ns: int  # what that took

    @property
    def spent_ns(self) -> int:
        """The device's time so far."""
        return self.features.preprocess_ns + self.features.head_ns + self.own_ns


class Steer:
    """Encoder, exit head and policy of one bundle; a `LinkObserver` on the policy's behalf."""

    def __init__(
        self,
        encoder: FeatureEncoder,
        pictures: Mapping[int, ImageEncoder],
        exit_head: ExitHead | None,
        policy: DeadlinePolicy,
        labels: Sequence[str],
    ):
        """`pictures`: an encoder for every quality on the policy's menu."""
        self.policy, self.labels = policy, tuple(labels)
        self._encoder, self._pictures, self._exit = encoder, dict(pictures), exit_head

    def encode(self, image: Image.Image, point: int) -> Payload:
        """Without a choice, as an `Encoder`."""
        return self._encoder.encode(image, point)

    def look(self, image: Image.Image) -> Seen:
        """Features and the own answer. Runs in a worker thread."""
        features = self._encoder.features(image)
        started = monotonic_ns()
        own = None if self._exit is None else self._exit.answer(features.latent)
        return Seen(image, features, own, monotonic_ns() - started)

    def choose(self, seen: Seen, captured_ns: int, one_in: int = 1) -> Decision:
        """What to do with it now. Runs in the event loop, as all that the policy hears.

        `one_in`: frames so many times fewer are taken, for the board is hot.
        """
        now_s = monotonic()
        spent_s = max(0.0, now_s - captured_ns / 1e9)
        moment = Moment(now_s, spent_s, seen.spent_ns / 1e9, seen.own, one_in)
        return self.policy.choose(moment)

    def code(self, seen: Seen, decision: Decision) -> Payload:
        """The payload of what was chosen. Runs in a worker thread."""
        if decision.choice.kind == "image":
            return self._pictures[decision.choice.level].encode(seen.image, 0)
        return self._encoder.code(seen.features, decision.choice.level)

    def code_alone(self, seen: Seen, point: int) -> Payload:
        """The packet of a frame that is not sent now. Runs in a worker thread."""
        return self._encoder.code_alone(seen.features, point)

    def own_outcome(self, seen: Seen, captured_ns: int, frame_id: int, why: str) -> Outcome:
        """The device's answer as a frame's outcome; LINK where the bundle has no exit head."""
        if seen.own is None:
            message = f"{why}: no answer of its own: `narrows bundle calibrate` makes one"
            return Outcome(frame_id, LINK, message)
        label = Label(seen.own.index, self.labels[seen.own.index], seen.own.confidence)
        features, code = seen.features, seen.own_ns
        wait = max(0, monotonic_ns() - captured_ns - seen.spent_ns)
        timing = FrameTiming(features.preprocess_ns, features.head_ns, code, wait, 0, 0, 0, 0, 0)
        return Outcome(frame_id, OK, why, labels=(label,), timing=timing, answered_by="local")

    def on_sent(self, frame_id: int, wire_bytes: int) -> None:
        """A frame was handed to the stream."""
        self.policy.on_sent(frame_id, wire_bytes, monotonic())

    def on_result(self, result: inference_pb2.Result) -> None:
        """An answer was read, in time or not."""
        timing, now_s = result.timing, monotonic()
        server_ns = timing.queue_ns + timing.decode_ns + timing.tail_ns + timing.reply_ns
        self.policy.on_answer(result.frame_id, min(server_ns / 1e9, 10.0), now_s)
        if result.status.code in REFUSED:
            hinted = result.status.HasField("cheaper_point")
            cheaper = result.status.cheaper_point if hinted else None
            self.policy.on_refusal(cheaper, result.status.retry_after_ms / 1e3, now_s)

    def on_ping(self, round_trip_ns: int) -> None:
        """A ping came back."""
        self.policy.on_ping(round_trip_ns / 1e9, monotonic())

    def on_up(self) -> None:
        """A new stream has shown a server."""
        self.policy.link.on_up()

    def on_down(self) -> None:
        """The stream ended."""
        self.policy.link.on_down(monotonic())
