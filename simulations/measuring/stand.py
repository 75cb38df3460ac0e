"""The test stand: a server's process, and a link's in front of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from narrows.errors import LinkError
from narrows.simulations.links.profile import profile_names
from narrows.simulations.measuring.choices import NO_LINK

SERVING = ("--executor", "local", "--threads", "1", "--log-level", "warning")


@dataclass
class Line:
    """Where devices send, and what their link has carried once it is closed."""

    address: str
    up_bytes: int | None = None  # None: there is no link to count them
    down_bytes: int | None = None


@contextmanager
def line_to(server: str, link: str, seed: int) -> Iterator[Line]:
    """A relay of that link before the server, from its first second; `none`: the server itself.

    A profile without a seed of its own gets this one. Raises LinkError.
    """
    if link == NO_LINK:
        yield Line(server)
        return
    seeded = f"{link}:{seed}" if link in profile_names() else link
    command = [sys.executable, "-m", "narrows.simulations.links.relay", server, seeded, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout is not None
        try:
            ready = relay.stdout.readline()
            if not ready:
                raise LinkError(f"no relay for link {seeded}: see its message above")
            line = Line(json.loads(ready)["address"])
            yield line
        finally:
            relay.terminate()
        told = relay.stdout.readline()
        if not told:
            raise LinkError(f"the relay of link {seeded} ended by itself")
        carried = json.loads(told)
        line.up_bytes, line.down_bytes = carried["up"], carried["down"]
