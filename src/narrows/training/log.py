"""What a run tells while it goes: lines, and curves for TensorBoard where it is installed."""

from collections.abc import Callable
from pathlib import Path


class Log:
    """Writes into `run/log`; `say` shows a line."""

    def __init__(self, run: Path, say: Callable[[str], None]):
        self.say = say
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:  # the train extra has it; a run without it is a run all the same
            self._writer = None
        else:
            self._writer = SummaryWriter(str(run / "log"))  # type: ignore[no-untyped-call]

    def epoch(self, phase: str, number: int, of: int, loss: float) -> None:
        """The mean loss of an epoch."""
        self.say(f"{phase}: epoch {number}/{of}, loss {loss:.4f}")
        if self._writer is not None:
            self._writer.add_scalar(f"loss/{phase}", loss, number)  # type: ignore[no-untyped-call]
            self._writer.flush()  # type: ignore[no-untyped-call]
