"""How a device has its frames answered: what each of a scenario's `ways` stands for.

A way is a policy of edge/policy, one for each device, and whether the head's features come first.
`CHOICES` names those there are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from narrows.codec.manifest import Manifest
from narrows.edge.policy.baselines import EwmaPolicy, FixedPolicy
from narrows.edge.policy.menu import LOCAL_EXIT, Choice, Kind, menu_of
from narrows.edge.policy.policy import DeadlinePolicy, Decision, Moment, Policy
from narrows.errors import ConfigError
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.links.link import Link
from narrows.simulations.links.oracle import oracle
from narrows.simulations.links.race import Terms as RaceTerms
from narrows.simulations.links.workload import averages

WHOLE = 1  # the level of the local choice that is the whole network; 0 is the head's small exit


@dataclass(frozen=True)
class Known:
    """What a simulation needs to know of a bundle."""

    name: str
    menu: tuple[Choice, ...]  # points, pictures and the device's own small answer
    whole: Choice  # the whole network on the device
    measured: frozenset[tuple[Kind, int]]  # whose accuracy is; others' is a policy's guess

    def accuracy_of(self, choice: Choice) -> float | None:
        """None where it was not measured."""
        return choice.accuracy if (choice.kind, choice.level) in self.measured else None

    def choice(self, kind: Kind, level: int) -> Choice:
        """Raises ConfigError: the bundle has no such point, or pictures of that quality."""
        found = {(each.kind, each.level): each for each in (*self.menu, self.whole)}
        if (kind, level) not in found:
            raise ConfigError(self._missing(kind, level))
        return found[kind, level]

    def _missing(self, kind: Kind, level: int) -> str:
        levels = ", ".join(str(each.level) for each in self.menu if each.kind == kind)
        if kind == "packet":
            return f"way 'fixed:{level}': {self.name} has the operating points {levels}"
        return (
            f"way 'jpeg:{level}': of {self.name} pictures of quality {levels or 'none'} were "
            "measured: `narrows bundle calibrate` does that, or `narrows simulate --data` now"
        )

    def on(self, times: ServiceTimes, cpu_share: float) -> "Known":
        """With the time that choices take a device of that share of the measured machine's core."""

        def timed(choice: Choice) -> Choice:
            if choice.kind != "image":
                return choice
            return replace(choice, extra_s=times.encode_ms_of(choice.level) / 1e3 / cpu_share)

        whole_s = (times.whole_ms or 0.0) / 1e3 / cpu_share
        menu = tuple(timed(choice) for choice in self.menu)
        return replace(self, menu=menu, whole=replace(self.whole, extra_s=whole_s))


def known_of(manifest: Manifest) -> Known:
    """A bundle as its manifest has it."""
    menu, scores = menu_of(manifest), manifest.unsplit_scores_of.values()
    whole = Choice("local", WHOLE, 0.0, sum(scores) / len(scores) if scores else 0.0)
    measured: set[tuple[Kind, int]]
    measured = {("packet", point.id) for point in manifest.operating_points if point.scores_of}
    measured |= {(choice.kind, choice.level) for choice in menu if choice.kind == "image"}
    if scores:
        measured.add(("local", WHOLE))
    if LOCAL_EXIT in manifest.provenance:
        measured.add(("local", 0))
    return Known(manifest.name, menu, whole, frozenset(measured))


@dataclass(frozen=True)
class Terms:
    """What a device's policy is made for."""

    known: Known
    link: Link  # which the oracle alone looks at
    race: RaceTerms  # its frames, its deadline, and what times usually are


@dataclass(frozen=True)
class Way:
    """How devices have their frames answered."""

    name: str
    looks: bool  # the head's features are computed before the choice, whatever is chosen
    policy: Callable[[Terms], Policy]  # for one device
    uses: tuple[tuple[Kind, int], ...] = ()  # choices that the bundle must have
    needs: tuple[str, ...] = ()  # fields of ServiceTimes that must have been measured
    plans: bool = False  # each device for itself: not on a line that others fill too


class PlannedPolicy(FixedPolicy):
    """Choices that were made beforehand, frame by frame; the small answer stands by."""

    def __init__(self, plan: Sequence[Choice]):
        super().__init__(plan[0], falls_back=True)
        self._plan, self._frame = plan, 0

    def choose(self, moment: Moment) -> Decision:
        """The next one."""
        self.choice = self._plan[min(self._frame, len(self._plan) - 1)]
        self._frame += 1
        return super().choose(moment)


def _fixed(text: str, argument: str) -> Way:
    """`fixed:POINT`: that operating point for every frame."""
    use: tuple[Kind, int] = ("packet", _number(text, argument, "an operating point, as fixed:0"))
    return Way(text, True, lambda terms: FixedPolicy(terms.known.choice(*use)), (use,))


def _jpeg(text: str, argument: str) -> Way:
    """`jpeg:QUALITY`: the picture is uploaded, and the whole network runs on the server."""
    quality = _number(text, argument, "a quality of 1 to 100, as jpeg:60")
    if not 1 <= quality <= 100:
        raise ConfigError(f"way {text!r}: expected a quality of 1 to 100, as jpeg:60")
    use: tuple[Kind, int] = ("image", quality)
    needs = ("encode_ms", "picture_batch_ms")
    return Way(text, False, lambda terms: FixedPolicy(terms.known.choice(*use)), (use,), needs)


def _local(text: str, argument: str) -> Way:
    """`local`: the whole network on the device; nothing is sent."""
    _nothing(text, argument)
    return Way(text, False, lambda terms: FixedPolicy(terms.known.whole), needs=("whole_ms",))


def _policy(text: str, argument: str) -> Way:
    """`policy`: as `narrows edge --policy`, from all the bundle's choices."""

    def made(terms: Terms) -> Policy:
        return DeadlinePolicy(terms.known.menu, terms.race.deadline_s, 1 / terms.race.fps)

    _nothing(text, argument)
    return Way(text, True, made)


def _ewma(text: str, argument: str) -> Way:
    """`ewma`: the usual rule, a moving average of throughput."""
    _nothing(text, argument)
    return Way(text, True, lambda terms: EwmaPolicy(terms.known.menu, terms.race.deadline_s))


def _oracle(text: str, argument: str) -> Way:
    """`oracle`: knows the link's trace, not faults nor other devices: planned beforehand."""

    def made(terms: Terms) -> Policy:
        return PlannedPolicy(oracle(terms.link, averages(terms.known.menu), terms.race).plan)

    _nothing(text, argument)
    return Way(text, True, made, plans=True)


CHOICES: dict[str, Callable[[str, str], Way]] = {
    "fixed": _fixed, "jpeg": _jpeg, "local": _local, "policy": _policy, "ewma": _ewma,
    "oracle": _oracle,
}  # fmt: skip


def way_named(text: str) -> Way:
    """A way from a scenario's `NAME[:ARGUMENT]`. Raises ConfigError: there is no such one."""
    name, _, argument = text.partition(":")
    if name not in CHOICES:
        names = "fixed:POINT, jpeg:QUALITY, local, policy, ewma, oracle"
        raise ConfigError(f"way {text!r}: expected one of {names}")
    return CHOICES[name](text, argument)


def _number(text: str, argument: str, what: str) -> int:
    if not (argument.isascii() and argument.isdigit() and len(argument) < 6):
        raise ConfigError(f"way {text!r}: expected {what}")
    return int(argument)


def _nothing(text: str, argument: str) -> None:
    if argument:
        raise ConfigError(f"way {text!r}: expected {text.partition(':')[0]} alone")
