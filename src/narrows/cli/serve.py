"""`narrows serve`: finish networks for devices."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    bundles: Annotated[list[Path], typer.Argument(help="Folders of the bundles to serve.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; devices elsewhere need 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 50051,
    executor: Annotated[
        str, typer.Option(help="`local`: one process. `ray`: replicas as actors.")
    ] = "local",
    replicas: Annotated[int, typer.Option(min=1, help="Replicas behind the port (ray).")] = 2,
    ray_address: Annotated[
        str | None, typer.Option(help="An existing Ray cluster; one of its own by default.")
    ] = None,
    max_batch: Annotated[
        int, typer.Option(min=1, help="Frames that go through the tail together.")
    ] = 16,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Frames in a replica's queue; more are refused.")
    ] = 256,
    max_frame_bytes: Annotated[int, typer.Option(min=64, help="Largest packet or picture.")] = 1
    << 20,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each replica.")] = 2,
    drain_seconds: Annotated[
        float, typer.Option(help="Longest wait for accepted frames on SIGTERM.")
    ] = 10.0,
    json: Annotated[
        bool, typer.Option("--json", help="Announce the address as one JSON line.")
    ] = False,
) -> None:
    """Serve bundles over gRPC until SIGTERM, which answers every accepted frame first."""
    from narrows.errors import ConfigError
    from narrows.server.serve import serve_local, serve_ray
    from narrows.server.settings import ServerSettings

    settings = ServerSettings(
        bundles=tuple(path.resolve() for path in bundles),
        host=host,
        port=port,
        max_batch=max_batch,
        max_waiting=max_waiting,
        max_frame_bytes=max_frame_bytes,
        threads=threads,
        drain_seconds=drain_seconds,
    )
    if executor == "local":
        serve_local(settings, json)
    elif executor == "ray":
        serve_ray(settings, replicas, ray_address, json)
    else:
        raise ConfigError(f"--executor {executor!r}: expected local or ray")
