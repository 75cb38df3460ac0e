"""A kind of link as a few statistics, and traces drawn from them: the same seed, the same trace.

Rate and delay are log-normal and remember: the logarithm of each is a first-order autoregression
about its median. Stalls (a lost segment's timeout) and outages begin at random and last as long as
an exponential. What is published are medians and quantiles; the shape between them is ours.
"""

import sys
import zlib
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from narrows.errors import ConfigError
from narrows.simulations.links.trace import Trace

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROFILES = Path(__file__).parent / "profiles"
STEP_MS = 20  # the grain of a trace that is drawn
FASTEST, SLOWEST = 4.0, 0.02  # of a drawn rate, as shares of its median

Positive = Annotated[float, Meta(gt=0, le=1e8)]
AtLeast0 = Annotated[float, Meta(ge=0, le=1e8)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Direction(_Strict, frozen=True, kw_only=True):
    """One way of the link."""

    rate_kbit: Positive  # median, of TCP's payload
    rate_spread: AtLeast0 = 0.0  # standard deviation of its natural logarithm
    delay_ms: AtLeast0  # median, one way
    delay_spread: AtLeast0 = 0.0
    memory_s: Positive = 1.0  # after so long, correlations have fallen to 1/e


class Silence(_Strict, frozen=True, kw_only=True):
    """Times at which nothing passes, both ways."""

    every_s: Positive  # mean, from one's beginning to the next
    lasts_ms: Positive  # mean


class Profile(_Strict, frozen=True, kw_only=True):
    """A kind of link."""

    about: str
    source: str  # where the statistics come from, and which of them are our assumption
    up: Direction
    down: Direction
    stalls: Silence | None = None
    outages: Silence | None = None
    reconfigured_s: AtLeast0 = 0.0  # delay and rate jump to new values so often; 0: never


def profile_names() -> tuple[str, ...]:
    """Of the profiles that are shipped."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.toml")))


def load_profile(name_or_path: str) -> Profile:
    """A shipped profile, or a file. Raises ConfigError: no such, or a key that does not fit."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = PROFILES / f"{name_or_path}.toml"
    if not path.is_file():
        raise ConfigError(
            f"no link profile {name_or_path!r}; shipped: {', '.join(profile_names())}; "
            "or give a .toml file"
        )
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Profile)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None


def draw(profile: Profile, seconds: float, seed: int) -> tuple[Trace, Trace]:
    """Traces of both ways, up and down."""
    rng = np.random.default_rng([seed, zlib.crc32(profile.about.encode())])
    steps = max(1, round(seconds * 1000 / STEP_MS))
    silent = np.zeros(steps, np.bool_)
    for kind in (profile.stalls, profile.outages):
        if kind is not None:
            silent |= _silences(rng, steps, kind)
    if silent.all():
        silent[:] = False
    up, down = (_drawn(rng, profile, way, silent) for way in (profile.up, profile.down))
    return up, down


def _silences(rng: np.random.Generator, steps: int, kind: Silence) -> NDArray[np.bool_]:
    """bool (steps,): begun in each step by chance, of whole steps and at least one."""
    begins = rng.random(steps) < STEP_MS / (kind.every_s * 1000)
    lasts = np.maximum(1, np.rint(rng.exponential(kind.lasts_ms / STEP_MS, steps))).astype(int)
    silent = np.zeros(steps, np.bool_)
    for start in np.flatnonzero(begins):
        silent[start : start + lasts[start]] = True
    return silent


def _drawn(
    rng: np.random.Generator, profile: Profile, way: Direction, silent: NDArray[np.bool_]
) -> Trace:
    jump = round(profile.reconfigured_s * 1000 / STEP_MS)
    steps = len(silent)
    rate = np.exp(way.rate_spread * _wandering(rng, steps, way.memory_s, jump))
    delay = np.exp(way.delay_spread * _wandering(rng, steps, way.memory_s, jump))
    bits = np.where(silent, 0, way.rate_kbit * 1000 * np.clip(rate, SLOWEST, FASTEST))
    delays_ns = np.minimum(way.delay_ms * delay, 10_000) * 1e6
    return Trace(
        [STEP_MS * 1_000_000] * steps,
        np.rint(bits).astype(int).tolist(),
        np.rint(delays_ns).astype(int).tolist(),
    )


def _wandering(
    rng: np.random.Generator, steps: int, memory_s: float, jump: int
) -> NDArray[np.float64]:
    """float64 (steps,): a stationary AR(1) of variance 1, drawn anew every `jump` steps."""
    keep = float(np.exp(-STEP_MS / 1000 / memory_s))
    noise = rng.normal(size=steps)
    values = np.empty(steps)
    value = noise[0]
    for step in range(steps):
        fresh = step == 0 or (jump > 0 and step % jump == 0)
        value = noise[step] if fresh else keep * value + (1 - keep * keep) ** 0.5 * noise[step]
        values[step] = value
    return values
