"""When devices send: moments that a load over real sockets and simulated time both follow."""

import random
from collections.abc import Iterator


def poisson(rate: float, devices: int, seconds: float, seed: int) -> Iterator[tuple[float, int]]:
    """(second, device) of frames that come independently, `rate` a second of all devices.

    One seed is one sequence: a real server and a simulated one can be sent the same.
    """
    rng, at = random.Random(seed), 0.0
    while (at := at + rng.expovariate(rate)) < seconds:
        yield at, rng.randrange(devices)
