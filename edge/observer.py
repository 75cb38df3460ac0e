"""What a session tells of its link to whoever wants to learn from it."""

from typing import Protocol

from narrows.protos.narrows.v1 import inference_pb2


class LinkObserver(Protocol):
    """Hears of a session's frames on its link, from the event loop."""

    def on_sent(self, frame_id: int, wire_bytes: int) -> None:
        """A frame was handed to the stream."""
        ...

    def on_result(self, result: inference_pb2.Result) -> None:
        """An answer was read, in time or not."""
        ...

    def on_ping(self, round_trip_ns: int) -> None:
        """A ping came back."""
        ...

    def on_up(self) -> None:
        """A new stream has shown a server."""
        ...

    def on_down(self) -> None:
        """The stream ended."""
        ...


class Unobserved:
    """Nobody wants to learn."""

    def on_sent(self, frame_id: int, wire_bytes: int) -> None:
        """Nothing."""

    def on_result(self, result: inference_pb2.Result) -> None:
        """Nothing."""

    def on_ping(self, round_trip_ns: int) -> None:
        """Nothing."""

    def on_up(self) -> None:
        """Nothing."""

    def on_down(self) -> None:
        """Nothing."""
