"""How long a batch of a paced server takes: an accelerator of a known speed."""

from dataclasses import dataclass

from narrows.errors import ConfigError


@dataclass(frozen=True)
class Pacing:
    """What a batch takes, at least."""

    base_ms: float
    frame_ms: float

    @classmethod
    def parse(cls, text: str) -> "Pacing":
        """Read `BASE,FRAME` in milliseconds. Raises ConfigError."""
        try:
            base, frame = map(float, text.split(","))
        except ValueError:
            base = frame = -1.0
        if not 0 <= min(base, frame) <= max(base, frame) < 60_000:
            raise ConfigError(f"pace {text!r}: expected BASE,FRAME in milliseconds, as 20,2")
        return cls(base, frame)

    def batch_s(self, frames: int) -> float:
        """Of a batch of so many."""
        return (self.base_ms + frames * self.frame_ms) / 1e3
