"""What a device computes of pictures: a program for any machine that has Narrows.

    python packets_of.py BUNDLE FOLDER

Every picture of the folder, at every point: a line of its latent's digest, and its packet.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from narrows.codec.manifest import Manifest
from narrows.edge.encoder import load_feature_encoder
from narrows.kernels import _native


def packets_of(bundle: Path, folder: Path) -> Iterator[str]:
    """`picture point sha256-of-latent packet-in-hex`."""
    manifest = Manifest.load(bundle)
    encoder = load_feature_encoder(bundle, manifest)
    for path in sorted(folder.iterdir()):
        features = encoder.features(Image.open(path).convert("RGB"))
        latent = hashlib.sha256(features.latent.tobytes()).hexdigest()
        for point in range(len(manifest.operating_points)):
            packet = encoder.code(features, point).data.hex()
            yield f"{path.name} {point} {latent} {packet}"


if __name__ == "__main__":
    print(_native.isa())
    print(*packets_of(Path(sys.argv[1]), Path(sys.argv[2])), sep="\n")
