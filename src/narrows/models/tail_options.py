"""What an operator may ask of a server's tails. Without torch: the command line reads it."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from narrows.errors import ConfigError


@dataclass(frozen=True)
class TailOptions:
    """Where and how tails run; `auto` is decided on the machine, before the server is ready."""

    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: a GPU where there is one
    # compiled: built first where the cache has none. auto: the fastest of eager and what is built
    tail: Literal["auto", "eager", "compiled"] = "auto"
    # auto: the faster of float32 and what the manifest says is as accurate
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        """Raises ConfigError for a value that is not one of those above."""
        for field in fields(self):
            value, known = getattr(self, field.name), get_args(field.type)
            if value not in known:
                raise ConfigError(f"--{field.name} {value!r}: expected {', '.join(known)}")
