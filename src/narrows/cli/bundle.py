"""`narrows bundle`: look into a bundle, and check that it holds together."""

from pathlib import Path
from typing import Annotated

import typer

bundle = typer.Typer(no_args_is_help=True, help="Look into a bundle, or check it.")
Folder = Annotated[Path, typer.Argument(help="A bundle's folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


@bundle.command()
def inspect(path: Folder, json: Json = False) -> None:
    """Show what a bundle is: cut, operating points as measured, files, provenance."""
    from json import dumps

    from narrows.cli._bundle_text import show
    from narrows.codec.manifest import Manifest

    manifest = Manifest.load(path)
    if json:
        print(dumps(manifest.as_dict()))
    else:
        show(manifest)


@bundle.command()
def verify(
    path: Folder,
    public_key: Annotated[
        Path | None, typer.Option(help="Also require a signature by this Ed25519 key (PEM).")
    ] = None,
    json: Json = False,
) -> None:
    """Check digests, shapes and, with a key, the signature. Exit code 2 when anything differs."""
    from narrows.cli._bundle_text import verified

    print(verified(path, public_key, json))


@bundle.command()
def sign(
    path: Folder,
    key: Annotated[
        Path, typer.Option(help="Ed25519 private key (PEM); made, mode 0600, if absent.")
    ],
) -> None:
    """Sign the manifest; writes manifest.sig and KEY.pub."""
    from narrows.codec.signature import sign_bundle

    print(f"signed; public key: {sign_bundle(path, key)}")


@bundle.command()
def quantise(
    path: Folder,
    data: Annotated[Path, typer.Option(help="A folder of class folders, or a tar of one.")],
    part: Annotated[
        str | None, typer.Option(help="Part to calibrate on; `train` where there is one.")
    ] = None,
    photographs: Annotated[int, typer.Option(help="How many to calibrate on.")] = 128,
    json: Json = False,
) -> None:
    """Add an int8 head: a third of the time on a device, the same packets on every machine.

    Calibrates on photographs, measures both heads on others, and writes the figures into the
    manifest. Sign the bundle again afterwards.
    """
    from narrows.simulations.quantisation import run_quantisation

    run_quantisation(path, data, part, photographs, json)


@bundle.command()
def measure_tail(
    path: Folder,
    data: Annotated[
        list[Path], typer.Option(help="Class folders, or multi-task sets; again: more of these.")
    ],
    part: Annotated[
        str | None, typer.Option(help="Part to measure on; `val` where there is one.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Photographs of each part.")] = None,
    json: Json = False,
) -> None:
    """Measure every point with the tail in float32 and in bfloat16, into the manifest.

    `narrows serve` computes in bfloat16 by itself only where this found that it costs at most 0.2
    points. The bundle's digest changes, so sign it and fetch it again.
    """
    from narrows.simulations.tail_precision import run_tail_precision

    run_tail_precision(path, data, part, limit, json)


@bundle.command()
def video(
    path: Folder,
    data: Annotated[
        list[Path], typer.Option(help="Class folders or a multi-task set, or a tar; again: more.")
    ],
    part: Annotated[str, typer.Option(help="Part to count on, where there are parts.")] = "train",
    photographs: Annotated[int, typer.Option(help="How many to make sequences of.")] = 400,
    json: Json = False,
) -> None:
    """Add tables for videos: a frame coded against the one before, a static scene for a fraction.

    Counts them on sequences made of photographs: cameras that stand, pan and zoom, with their
    noise. The bundle's digest changes, so sign it and fetch it again.
    """
    from narrows.simulations.inter_tables import run_inter_tables

    run_inter_tables(path, data, part, photographs, json)


@bundle.command()
def filter(
    path: Folder,
    data: Annotated[list[Path], typer.Option(help="A multi-task set with boxes; again: more.")],
    miss: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of frames with something it may lose.")
    ] = 0.01,
    limit: Annotated[int | None, typer.Option(min=1, help="Photographs of each part.")] = None,
    json: Json = False,
) -> None:
    """Add a filter for `narrows edge --drop-empty`: frames with nothing in them stay on the device.

    A logistic regression on the head's features, fitted on crops of the training photographs and
    measured on crops of the others; what it misses goes into the manifest.
    """
    from narrows.simulations.presence import run_filter

    run_filter(path, data, miss, limit, json)


@bundle.command()
def calibrate(
    path: Folder,
    data: Annotated[Path, typer.Option(help="Class folders with parts train and val, or a tar.")],
    limit: Annotated[int | None, typer.Option(min=20, help="Photographs of each part.")] = None,
    json: Json = False,
) -> None:
    """Add the device's own answer, for `narrows edge --policy`: what stands by when a link fails.

    A small regression on the head's features, fitted on crops of training photographs; on those
    kept out it is measured how sure it must be so that little is lost against the full network.
    """
    from narrows.simulations.early_exit.calibrate import run_calibration

    run_calibration(path, data, limit, json)
