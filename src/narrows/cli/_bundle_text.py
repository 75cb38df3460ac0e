"""What `narrows bundle` prints."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from narrows.codec.manifest import Manifest


def show(manifest: Manifest) -> None:
    """A page about the bundle: points as measured, files, where it comes from."""
    console = Console()
    total = sum(f.bytes for f in manifest.files.values())
    console.print(
        f"[bold]{manifest.name}[/]  digest {manifest.digest[:16]}…  {total / 2**20:.1f} MiB"
    )
    console.print(
        f"cut {manifest.cut}; {len(manifest.labels)} labels; "
        f"latent {manifest.latent.channels} channels"
    )
    console.print(
        f"input: short side {manifest.input.short_side}, padded to {manifest.input.stride}"
    )
    points = Table(
        "point", "bytes a frame", "accuracy", title=f"measured on {manifest.measured_on}"
    )
    for p in manifest.operating_points:
        points.add_row(str(p.id), f"{p.packet_bytes:,.0f}", f"{p.accuracy:.2%}")
    points.add_row("unsplit", "-", f"{manifest.unsplit_accuracy:.2%}")
    files = Table("file", "bytes", "sha256")
    for name, entry in manifest.files.items():
        files.add_row(name, f"{entry.bytes:,}", entry.sha256[:16])
    console.print(points, files)
    console.print_json(json.dumps(manifest.provenance))


def verified(path: Path, public_key: Path | None, as_json: bool) -> str:
    """Check everything; the text for a bundle that holds together. Raises BundleError."""
    manifest = Manifest.load(path)
    manifest.verify_files(path)
    _check_tables(path, manifest)
    if public_key:
        from narrows.codec.signature import verify_signature

        verify_signature(path, public_key)
    if as_json:
        return json.dumps({"ok": True, "digest": manifest.digest, "signed": public_key is not None})
    signed = f", signed by {public_key}" if public_key else ""
    digest = f"digest {manifest.digest[:16]}…"
    return f"{path}: {len(manifest.files)} files as in the manifest, {digest}{signed}"


def _check_tables(path: Path, manifest: Manifest) -> None:
    from narrows.codec import frame
    from narrows.errors import BundleError

    limit = (manifest.latent.max_height, manifest.latent.max_width)
    codec = frame.load(path / "tables.safetensors", manifest.digest_prefix, limit)
    if len(codec.points) != len(manifest.operating_points):
        raise BundleError(
            f"{path}: tables for {len(codec.points)} operating points, "
            f"the manifest lists {len(manifest.operating_points)}"
        )
