"""A made-up bundle, scenarios around it, and their frames in simulated time."""

from machine_times import service_times

from narrows.edge.policy.menu import Choice
from narrows.simulations.events.device import Taken
from narrows.simulations.events.ways import Known, Way, way_named
from narrows.simulations.events.world import World
from narrows.simulations.scenarios.scenario import Scenario

FINE, COARSE = Choice("packet", 0, 1040.0, 0.9), Choice("packet", 1, 240.0, 0.8)
PICTURE, OWN = Choice("image", 50, 6040.0, 0.9), Choice("local", 0, 0.0, 0.6)
WHOLE = Choice("local", 1, 0.0, 0.92)
MENU = (FINE, COARSE, PICTURE, OWN)
KNOWN = Known("made", MENU, WHOLE, frozenset((c.kind, c.level) for c in (*MENU, WHOLE)))
FIXED = way_named("fixed:0")


def scenario(**changes) -> Scenario:
    """Six cameras on thin links for 20 seconds, but for what is changed."""
    camera = {"devices": 6, "fps": 2.0, "link": "2mbit,20ms", "cpu_share": 0.5}
    fields = {
        "name": "test", "seconds": 20.0, "deadline_ms": 500, "classes": {"camera": camera},
    }  # fmt: skip
    return Scenario.model_validate(fields | changes)


def frames_of(told: Scenario, seed: int = 0, way: Way = FIXED, known: Known = KNOWN) -> list[Taken]:
    """All frames of a whole run."""
    world = World(told, service_times(), known, way, seed)
    world.run(world.end_ns / 1e9)
    return world.frames
