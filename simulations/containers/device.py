"""A device behind a link of its own: a relay in this process, `narrows edge` in another.

Scaled containers are equal, so each takes the first certificate that is free, and by its number one
of the links in turn. Photographs come at the rate asked for, for ever or so many. SIGTERM ends the
capture; what is in flight is answered. SIGUSR1 cuts the link, SIGUSR2 restores it.
"""

import asyncio
import itertools
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from narrows.images.files import pictures_in
from narrows.simulations.containers.numbered import claim
from narrows.simulations.containers.program import run
from narrows.simulations.links.link import Link, open_link
from narrows.simulations.links.relay import Relay

HEARTBEAT = "/tmp/answered"
CUT, RESTORE = signal.SIGUSR1, signal.SIGUSR2  # of the link: an outage


def main(
    server: Annotated[str, typer.Option(help="host:port beyond the link.")] = "server:50051",
    links: Annotated[
        str, typer.Option(help="Dealt out in turn, with commas between: lte;wifi as LINK;LINK.")
    ] = "lte;wifi;5g;lora",
    fps: Annotated[float, typer.Option(min=0.01, help="Photographs a second.")] = 1.0,
    frames: Annotated[int, typer.Option(min=0, help="Then end; 0: never.")] = 0,
    identities: Annotated[Path, typer.Option(help="Folders of certificates.")] = Path(
        "/identities/devices"
    ),
    photographs: Annotated[Path, typer.Option(help="What is seen.")] = Path("/photographs"),
    option: Annotated[
        list[str] | None, typer.Option(help="Handed on to `narrows edge`; again for more.")
    ] = None,
) -> None:
    """Be the next device."""
    identity = claim(identities, "device-*")
    number = int(identity.name.rpartition("-")[2])
    named = links.split(";")
    link = open_link(named[number % len(named)])
    pictures = pictures_in(photographs)
    endless = itertools.islice(itertools.cycle(pictures), frames or None)
    command = ["--tls", str(identity), "--heartbeat", HEARTBEAT, "--fps", f"{fps:g}"]
    raise typer.Exit(asyncio.run(live(server, link, endless, [*command, *(option or ())])))


async def live(server: str, link: Link, pictures: Iterator[Path], options: list[str]) -> int:
    """Send the pictures through the link; the device's exit code."""
    async with Relay(server, link.up, down=link.down) as relay:
        command = [sys.executable, "-m", "narrows", "edge", "-", "--json"]
        command += ["--server", f"127.0.0.1:{relay.port}", *options]
        device = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
        assert device.stdin is not None
        feeding = asyncio.create_task(feed(device.stdin, pictures))

        def end() -> None:
            device.terminate()
            feeding.cancel()

        loop = asyncio.get_running_loop()
        for number, act in ((signal.SIGTERM, end), (CUT, relay.cut), (RESTORE, relay.restore)):
            loop.add_signal_handler(number, act)
        code = await device.wait()
        feeding.cancel()
        carried = {"link": link.name, "carried_bytes": asdict(relay.counts)}
        print(json.dumps(carried), flush=True)
        return code


async def feed(device: asyncio.StreamWriter, pictures: Iterator[Path]) -> None:
    """A line for each picture, as the device takes them; then it ends."""
    try:
        for picture in pictures:
            device.write(f"{picture}\n".encode())
            await device.drain()
    except (asyncio.CancelledError, ConnectionError):
        pass  # asked to end, or the device has
    finally:
        device.close()


if __name__ == "__main__":
    run(main)
