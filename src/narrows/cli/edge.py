"""`narrows edge`: be a device."""

from pathlib import Path
from typing import Annotated

import typer


def edge(
    source: Annotated[
        str,
        typer.Argument(
            help="A picture, folder, tar of class folders or video; - reads paths; a camera: "
            "camera:0, v4l2:/dev/video0, rtsp://..., picamera2, gstreamer:PIPELINE."
        ),
    ],
    server: Annotated[
        str,
        typer.Option(help="host:port, or several with commas: streams go to one that is not busy."),
    ] = "127.0.0.1:50051",
    bundle: Annotated[
        str,
        typer.Option(
            help="A bundle's folder, or the name of one to fetch from the server and keep; "
            "by default the server's only one."
        ),
    ] = "",
    point: Annotated[
        str, typer.Option(help="Operating point; several (0,2) or `all` are taken in turn.")
    ] = "0",
    task: Annotated[
        str,
        typer.Option(help="What to ask: classification, detection, segmentation, or all there is."),
    ] = "all",
    upload: Annotated[
        str | None, typer.Option(help="Send pictures instead: jpeg:75 or webp:50.")
    ] = None,
    policy: Annotated[
        bool,
        typer.Option(
            "--policy",
            help="Choose a point, a picture or the device's own answer for every frame.",
        ),
    ] = False,
    joules: Annotated[
        float | None, typer.Option(help="With --policy: energy a frame, on average.")
    ] = None,
    lose: Annotated[
        float | None,
        typer.Option(
            help="With --policy: keep sure answers here; lose at most this share, such as 0.02, "
            "against the full network."
        ),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=0.9999,
            help="With --lose: holds for this share of calibrations, such as 0.99; by default on "
            "average over them.",
        ),
    ] = None,
    local: Annotated[
        Path | None, typer.Option(help="Send nothing: run this whole network (ONNX) here.")
    ] = None,
    deadline_ms: Annotated[int, typer.Option(help="A frame's time to its answer.")] = 10_000,
    window: Annotated[int, typer.Option(help="Frames in flight.")] = 4,
    fps: Annotated[
        float | None, typer.Option(help="Frames per second; as fast as answers come by default.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many frames.")] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="SOURCE is class folders: count right answers.")
    ] = False,
    part: Annotated[
        str | None, typer.Option(help="Part of a labelled set; val or test by default.")
    ] = None,
    head: Annotated[
        str,
        typer.Option(
            help="What computes features: int8 or fp32 (our kernels), cuda (int8 on an NVIDIA "
            "GPU), onnx (ONNX Runtime), or auto: int8 on the faster of CPU and GPU."
        ),
    ] = "auto",
    head_threads: Annotated[
        int, typer.Option(help="Threads of ONNX Runtime; our kernels take one.")
    ] = 1,
    video: Annotated[
        bool | None,
        typer.Option(
            "--video/--no-video",
            help="Code each frame against the one before; by default where SOURCE is a video.",
        ),
    ] = None,
    drop_empty: Annotated[
        bool,
        typer.Option(
            "--drop-empty", help="Send nothing where the bundle's filter sees nothing in a frame."
        ),
    ] = False,
    tls: Annotated[
        Path | None, typer.Option(help="This device's folder from `narrows pki enroll`.")
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="Ed25519 key (PEM) that must have signed the bundle.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Plain text to another machine.")
    ] = False,
    give_up_seconds: Annotated[
        float, typer.Option(help="End when no server is there for so long.")
    ] = 30.0,
    spool: Annotated[
        Path | None,
        typer.Option(
            help="Keep frames that got no answer in this folder; they are sent once the link is "
            "back, behind live ones, and the device never gives up."
        ),
    ] = None,
    spool_mb: Annotated[
        int, typer.Option(min=8, max=1 << 20, help="Of disk for --spool; the oldest go.")
    ] = 64,
    heartbeat: Annotated[
        Path | None,
        typer.Option(help="Touch this file at every answer: `python -m narrows.edge.heartbeat`."),
    ] = None,
    show: Annotated[
        int | None,
        typer.Option(
            help="Draw answers into the pictures, live at http://127.0.0.1:PORT/.", metavar="PORT"
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="A JSON line per frame, then the summary.")
    ] = False,
) -> None:
    """Send pictures' features to a server and print its answers.

    With --policy every frame has an answer by its deadline: the server's where the link is likely
    to bring it in time, else the device's own (`narrows bundle calibrate`), which stands in for
    what comes late and while the server is away.

    While heat holds the board's processor back, a camera's frames and those of --fps are taken at a
    half, a quarter or an eighth of their rate; a line on stderr and the summary say so.

    Latency is split into named parts; peak memory and start-up time come last. Exit code 2 when
    the server could not be reached or stayed away.
    """
    from narrows.cli._edge_run import EdgeOptions, run_edge

    run_edge(
        EdgeOptions(
            source=source,
            server=server,
            bundle=bundle,
            point=point,
            task=task,
            upload=upload,
            policy=policy,
            joules=joules,
            lose=lose,
            confidence=confidence,
            local=local,
            deadline_ms=deadline_ms,
            window=window,
            fps=fps,
            limit=limit,
            labels=labels,
            part=part,
            head=head,  # type: ignore[arg-type]
            head_threads=head_threads,
            video=video,
            drop_empty=drop_empty,
            tls=tls,
            trust=trust,
            insecure=insecure,
            give_up_s=give_up_seconds,
            spool=spool,
            spool_mb=spool_mb,
            heartbeat=heartbeat,
            show=show,
            json=json,
        )
    )
