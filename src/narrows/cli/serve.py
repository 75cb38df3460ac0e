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
    replicas: Annotated[
        int, typer.Option(min=1, help="Replicas behind the port, at least (ray).")
    ] = 2,
    max_replicas: Annotated[
        int | None,
        typer.Option(min=1, help="Add replicas up to this while frames wait (ray)."),
    ] = None,
    cpus: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="Cores of each replica, which waits for them; by default one, or an even share of "
            "what the cluster has (ray).",
        ),
    ] = None,
    gpus: Annotated[float, typer.Option(min=0, help="Of each replica, 0.25 say (ray).")] = 0.0,
    verify: Annotated[
        int, typer.Option(help="Replicas that compute a checked answer; 0: none is (ray).")
    ] = 0,
    verify_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of the answers that --verify checks.")
    ] = 0.02,
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
    tail: Annotated[
        str,
        typer.Option(
            help="`eager`; `compiled`: built for this machine first, once; `auto`: the faster of "
            "eager and what is built."
        ),
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="`fp32`, `bf16`, or `auto`: the faster, bf16 only where the manifest says that it "
            "is as accurate."
        ),
    ] = "auto",
    device: Annotated[
        str, typer.Option(help="`cpu`, `cuda`, or `auto`: a GPU where there is one.")
    ] = "auto",
    tls: Annotated[
        Path | None,
        typer.Option(help="This server's folder from `narrows pki server`."),
    ] = None,
    console: Annotated[
        int | None,
        typer.Option(help="A page at http://127.0.0.1:PORT/, /metrics for Prometheus; 0: any."),
    ] = None,
    quotas: Annotated[
        Path | None, typer.Option(help="TOML: what each device may use, and how often.")
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="Ed25519 key (PEM) that must have signed every bundle.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Plain text, and everybody is let in.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --insecure: even beyond this machine.")
    ] = False,
    log: Annotated[
        str, typer.Option(help="The log on stderr: `text`, or `json`, an object a line.")
    ] = "text",
    log_level: Annotated[
        str, typer.Option(help="debug (every frame), info, warning or error.")
    ] = "info",
    drain_seconds: Annotated[
        float, typer.Option(help="Longest wait for accepted frames on SIGTERM.")
    ] = 10.0,
    json: Annotated[
        bool, typer.Option("--json", help="Announce the address as one JSON line.")
    ] = False,
) -> None:
    """Serve bundles over gRPC until SIGTERM, which answers every accepted frame first."""
    from narrows.errors import ConfigError
    from narrows.models.tail_options import TailOptions
    from narrows.security.plaintext import allow_plain_text
    from narrows.server.serve import serve_local, serve_ray
    from narrows.server.settings import ServerSettings

    if tls is None:
        allow_plain_text(host, insecure, force)
    settings = ServerSettings(
        bundles=tuple(path.resolve() for path in bundles),
        host=host,
        port=port,
        max_batch=max_batch,
        max_waiting=max_waiting,
        max_frame_bytes=max_frame_bytes,
        threads=threads,
        tail=TailOptions(device, tail, precision),  # type: ignore[arg-type]  # which it checks
        console=console,
        tls=tls.resolve() if tls else None,
        quotas=quotas.resolve() if quotas else None,
        trust=trust.resolve() if trust else None,
        verify_share=verify_share if verify else 0.0,
        log=log,
        log_level=log_level,
        drain_seconds=drain_seconds,
    )
    if verify and (executor != "ray" or replicas < 3 or not 2 <= verify <= replicas):
        raise ConfigError(
            f"--verify {verify}: expected 2 to --replicas, with --replicas 3 or more and "
            "--executor ray: of two that disagree nobody knows which is right"
        )
    if executor == "local":
        serve_local(settings, json)
    elif executor == "ray":
        most = max(replicas, max_replicas or 0)
        serve_ray(settings, (replicas, most), cpus, gpus, verify, ray_address, json)
    else:
        raise ConfigError(f"--executor {executor!r}: expected local or ray")
