"""A scenario in simulated time: each way from the same seed, with a machine's service times."""

from collections.abc import Callable

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.simulations.events.choices import choice_named
from narrows.simulations.events.service import ServiceTimes
from narrows.simulations.events.world import Bundle, World
from narrows.simulations.scenarios.figures import Columns, columns_of, empty
from narrows.simulations.scenarios.progress import Progress
from narrows.simulations.scenarios.scenario import Scenario

STEPS = 200  # of a way, at which the table is drawn anew

Show = Callable[[Progress], None]


def bundle_of(scenario: Scenario) -> Bundle:
    """What its manifest says of its points. Raises BundleError; ConfigError for unknown points."""
    manifest = Manifest.load(scenario.bundle)
    points = manifest.operating_points
    known = Bundle(
        {point.id: point.packet_bytes for point in points},
        {point.id: point.accuracy or 0.0 for point in points},
    )
    for way in scenario.ways:
        name, _, point = way.partition(":")
        if name == "fixed" and int(point) not in known.packet_bytes:
            ids = ", ".join(map(str, known.packet_bytes))
            raise ConfigError(f"way {way!r}: {manifest.name} has the operating points {ids}")
    return known


def simulate_in_time(
    scenario: Scenario, times: ServiceTimes, bundle: Bundle, seed: int, show: Show
) -> Columns:
    """Every frame of every way; the same seed gives the same."""
    columns = empty()
    for way in scenario.ways:
        progress = Progress(way, scenario.seconds, float(scenario.deadline_ms))
        world = World(scenario, times, bundle, choice_named(way), seed, progress.settled)
        for step in range(1, STEPS + 1):
            world.run(world.end_ns / 1e9 * step / STEPS)
            progress.now_s = min(scenario.seconds, world.clock.now_ns / 1e9)
            progress.waiting = sum(len(replica) for replica in world.replicas)
            show(progress)
        for name, column in columns_of(way, world.frames, scenario.deadline_ms).items():
            columns[name] += column
    return columns
