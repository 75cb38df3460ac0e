"""A link as people name it: a rate and a delay, a profile, or a trace of their own."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from narrows.errors import ConfigError
from narrows.simulations.links.pipe import Shape
from narrows.simulations.links.profile import draw, load_profile, profile_names
from narrows.simulations.links.readers import read_trace
from narrows.simulations.links.spec import LinkSpec

TRACE_SECONDS = 600.0  # of a profile's trace; then it begins again
MOST_TRACES = 50  # drawn for one class of devices; of more, several have the same weather


@dataclass(frozen=True)
class Link:
    """Both ways of a link, and what it is called."""

    name: str
    up: Shape
    down: Shape


def open_link(text: str, seconds: float = TRACE_SECONDS) -> Link:
    """Read `2mbit,20ms`, `lte`, `lte:7` (a seed), `mine.toml`, `mine.csv`, or `UP:DOWN` traces.

    Raises:
        ConfigError: none of these; the message says what is wrong with it.
    """
    first, _, second = text.partition(":")
    if first in profile_names() or first.endswith(".toml"):
        if second and not second.isdigit():
            raise ConfigError(f"link {text!r}: expected a whole number as the seed of {first}")
        up, down = draw(load_profile(first), seconds, int(second or 0))
        return Link(text, up, down)
    if Path(first).is_file():
        trace = read_trace(Path(first))
        return Link(text, trace, read_trace(Path(second)) if second else trace)
    try:
        spec = LinkSpec.parse(text)
    except ConfigError as error:
        names = ", ".join(profile_names())
        raise ConfigError(f"{error}; or a profile: {names}; or a file") from None
    return Link(str(spec), spec, spec)


def open_links(text: str, count: int, seed: str, seconds: float) -> tuple[Link, ...]:
    """Links of `count` lines: of a profile without a seed one trace each, MOST_TRACES at most.

    `lte:7`, a file and RATE,DELAY are one link, whoever has it. Raises ConfigError, as `open_link`.
    """
    if text not in profile_names() and not text.endswith(".toml"):
        return (open_link(text),)
    return _drawn(text, min(count, MOST_TRACES), seed, min(seconds, TRACE_SECONDS))


@lru_cache(maxsize=2)  # every way of a scenario has the same
def _drawn(profile: str, count: int, seed: str, seconds: float) -> tuple[Link, ...]:
    rng = Random(f"{seed}/{profile}")
    seeds = (rng.randrange(2**31) for _ in range(count))
    return tuple(open_link(f"{profile}:{each}", seconds) for each in seeds)
