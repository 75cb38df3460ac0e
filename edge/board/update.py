"""A newer version of a bundle: fetched, checked, tried, switched to; and back where it fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from narrows.codec.bitstream import parse
from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.edge.board.versions import Versions
from narrows.edge.encoder import load_feature_encoder
from narrows.edge.fetch import fetch_bundle
from narrows.errors import BundleError, NarrowsError
from narrows.images.files import decode

Did = Literal["nothing", "switched", "went back"]


@dataclass(frozen=True)
class Origin:
    """Where versions come from, and whose they must be."""

    address: str
    name: str  # empty: the server's only bundle
    tls: Path | None
    trust: Path | None  # the Ed25519 key that must have signed them


@dataclass(frozen=True)
class Updated:
    """What became of an update."""

    did: Did
    digest: str  # of the version that is current now
    why: str = ""


def update(
    versions: Versions,
    origin: Origin,
    photographs: Sequence[Path],
    restart: Callable[[], None] = lambda: None,
    healthy: Callable[[], bool] = lambda: True,
) -> Updated:
    """Fetch what the server has now, try it on photographs, switch; go back unless it is healthy.

    restart: starts the device anew, with the version that is current. healthy: waits for it to be
    well, or not.

    Raises:
        LinkError: the server cannot be reached.
        BundleError: what came is not whole, not signed by that key, or fails on a photograph: the
            version before stays.
    """
    versions.folder.mkdir(parents=True, exist_ok=True)
    arrived = fetch_bundle(
        origin.address, origin.name, versions.cache, tls=origin.tls, trust=origin.trust
    )
    digest, before = arrived.name, versions.current
    if digest == before:
        return Updated("nothing", digest)
    try_out(arrived, photographs)
    versions.switch(digest)
    restart()
    if healthy():
        versions.prune()
        return Updated("switched", digest)
    if before is None:
        raise BundleError(f"{digest[:8]} is not healthy, and there is no version to go back to")
    versions.back()
    restart()
    return Updated("went back", before, f"{digest[:8]} did not answer in time")


def try_out(folder: Path, photographs: Sequence[Path]) -> None:
    """Code every photograph at every point, and decode it to what was coded.

    Raises:
        BundleError: one of them fails.
    """
    manifest = Manifest.load(folder)
    encoder, codec = load_feature_encoder(folder, manifest), load_frame_codec(folder, manifest)
    for photograph in photographs:
        try:
            picture = decode(photograph.read_bytes(), str(photograph))
            for point in manifest.operating_points:
                payload = encoder.encode(picture, point.id)
                (latent,) = codec.decode([parse(payload.data)])
                if not isinstance(latent, np.ndarray) or not np.isfinite(latent).all():
                    raise BundleError(f"point {point.id}: {latent}")
        except (NarrowsError, OSError, ValueError) as error:
            told = f"{manifest.name} {manifest.digest[:8]} fails on {photograph.name}: {error}"
            raise BundleError(told) from None
