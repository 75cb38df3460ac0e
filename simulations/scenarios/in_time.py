"""A scenario in simulated time: each way from the same seed, with a machine's service times."""

from collections.abc import Callable

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.events.ways import Known, known_of, way_named
from narrows.simulations.events.world import World
from narrows.simulations.scenarios.figures import Columns, columns_of, empty
from narrows.simulations.scenarios.progress import Progress
from narrows.simulations.scenarios.scenario import Scenario

STEPS = 200  # of a way, at which the table is drawn anew

Show = Callable[[Progress], None]


def bundle_of(scenario: Scenario) -> Known:
    """What its manifest says of its choices. Raises BundleError; ConfigError, as `check_ways`."""
    known = known_of(Manifest.load(scenario.bundle))
    check_ways(scenario, known)
    return known


def check_ways(scenario: Scenario, known: Known, times: ServiceTimes | None = None) -> None:
    """Raises ConfigError: a way wants what the bundle has not, or what was not measured."""
    for way in map(way_named, scenario.ways):
        for use in way.uses:
            known.choice(*use)
        missing = [name for name in way.needs if times and not getattr(times, name)]
        if missing:
            raise ConfigError(
                f"way {way.name!r}: the service times have no {missing[0]}: this bundle's whole "
                "network could not be measured"
            )
        shared = [name for name, kind in scenario.classes.items() if kind.shared]
        if way.plans and shared:
            raise ConfigError(
                f"way {way.name!r} plans each device by itself: {shared[0]} devices share a line"
            )


def simulate_in_time(
    scenario: Scenario, times: ServiceTimes, known: Known, seed: int, show: Show
) -> Columns:
    """Every frame of every way; the same seed gives the same. Raises ConfigError."""
    check_ways(scenario, known, times)
    columns = empty()
    for way in scenario.ways:
        progress = Progress(way, scenario.seconds, float(scenario.deadline_ms))
        world = World(scenario, times, known, way_named(way), seed, progress.settled)
        for step in range(1, STEPS + 1):
            world.run(world.end_ns / 1e9 * step / STEPS)
            progress.now_s = min(scenario.seconds, world.clock.now_ns / 1e9)
            progress.waiting = sum(len(replica) for replica in world.replicas)
            show(progress)
        for name, column in columns_of(way, world.frames, scenario.deadline_ms, known).items():
            columns[name] += column
    return columns
