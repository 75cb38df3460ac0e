"""A picture to the bytes that go on the wire: coded features, or a picture file as the baseline.

Both encoders share one face, so everything after them is the same.
"""

import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from narrows.codec.frame import FrameCodec, load_frame_codec
from narrows.codec.manifest import FILTER, HEAD_FILES, InputSpec, Manifest
from narrows.codec.video import VideoEncoder
from narrows.edge.filter import PresenceFilter
from narrows.edge.head import HeadKind, HeadRunner, load_head
from narrows.edge.payload import Payload
from narrows.errors import ConfigError
from narrows.images.preprocess import View, pad_to_stride, prepare

PICTURE_OPTIONS: dict[str, dict[str, Any]] = {"jpeg": {"optimize": True}, "webp": {"method": 4}}


class Encoder(Protocol):
    """Anything that turns a picture into a payload."""

    def encode(self, image: Image.Image, point: int) -> Payload:
        """Encode a picture of any size at an operating point (0 is the finest)."""
        ...


@dataclass(frozen=True, eq=False)
class Features:
    """A picture as the head sees it, and the device's time for it, in ns, monotonic."""

    latent: NDArray[np.float32]  # (C, height, width)
    width: int  # of the preprocessed picture, in pixels, before padding
    height: int
    started_ns: int
    preprocess_ns: int
    head_ns: int
    view: View | None


class FeatureEncoder:
    """Head, quantiser and entropy coder: a packet of features."""

    def __init__(
        self,
        rule: InputSpec,
        head: HeadRunner,
        codec: FrameCodec,
        video: bool = False,
        presence: PresenceFilter | None = None,
    ):
        """`video`: code each picture against the one before, if the codec has tables for it.

        `presence`: pictures it does not pass become a payload of nothing.
        """
        self._rule, self._head, self._codec, self._presence = rule, head, codec, presence
        self._video = VideoEncoder(codec) if video and codec.inter else None

    def encode(self, image: Image.Image, point: int) -> Payload:
        """Encode a picture of any size. Raises ShapeError for a point the bundle lacks."""
        return self.code(self.features(image), point)

    def features(self, image: Image.Image) -> Features:
        """The head's latent of a picture of any size."""
        started = time.monotonic_ns()
        picture, view = prepare(image, self._rule.short_side, self._rule.max_aspect)
        padded = pad_to_stride(picture, self._rule.stride)
        prepared = time.monotonic_ns()
        latent = self._head.run(padded)
        spent = prepared - started, time.monotonic_ns() - prepared
        height, width = picture.shape[:2]
        return Features(latent, width, height, started, *spent, view)

    def code(self, features: Features, point: int) -> Payload:
        """Quantise and code a latent. Raises ShapeError for a point the bundle lacks."""
        latent, begun = features.latent, time.monotonic_ns()
        place = features.width, features.height, features.started_ns
        spent = features.preprocess_ns, features.head_ns
        if self._presence is not None and not self._presence.passes(latent):
            filtering = time.monotonic_ns() - begun
            spent = features.preprocess_ns, features.head_ns + filtering
            return Payload("nothing", b"", *place, *spent, 0, view=features.view)
        if self._video is None:
            packet, key = self._codec.encode(latent, point), None
        else:
            packet, key = self._video.encode(latent, point)
        coding = time.monotonic_ns() - begun
        return Payload("packet", packet, *place, *spent, coding, key, features.view)

    def code_alone(self, features: Features, point: int) -> Payload:
        """Code a latent that no other frame will be coded against. Raises as `code`."""
        alone = FeatureEncoder(self._rule, self._head, self._codec, presence=self._presence)
        return alone.code(features, point)


class ImageEncoder:
    """JPEG or WebP of the preprocessed picture, for the unsplit network on the server."""

    def __init__(self, rule: InputSpec, kind: str, quality: int):
        """Raises ConfigError for another kind, or a quality outside 1..100."""
        if kind not in PICTURE_OPTIONS or not 1 <= quality <= 100:
            raise ConfigError(f"upload {kind}:{quality}: expected jpeg or webp, quality 1 to 100")
        self._rule, self._kind, self._quality = rule, kind, quality

    def encode(self, image: Image.Image, point: int) -> Payload:
        """Encode a picture of any size; the quality is fixed, `point` changes nothing."""
        started = time.monotonic_ns()
        picture, view = prepare(image, self._rule.short_side, self._rule.max_aspect)
        prepared = time.monotonic_ns()
        data = encode_picture(picture, self._kind, self._quality)
        coded = time.monotonic_ns()
        height, width = picture.shape[:2]
        stages = (prepared - started, 0, coded - prepared)
        return Payload("image", data, width, height, started, *stages, view=view)


def encode_picture(picture: NDArray[np.uint8], kind: str, quality: int) -> bytes:
    """uint8 RGB (height, width, 3) -> the bytes of a JPEG (optimised tables) or WebP file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, quality=quality, **PICTURE_OPTIONS[kind])
    return file.getvalue()


def load_feature_encoder(
    bundle: Path,
    manifest: Manifest,
    head: HeadKind = "auto",
    threads: int = 1,
    video: bool = False,
    presence: bool = False,
) -> FeatureEncoder:
    """The encoder of a bundle's device part; `head` and `threads` as in `load_head`.

    video: code each picture against the one before, where the bundle has tables for it.
    presence: send nothing for a picture in which the bundle's filter sees nothing.

    Raises:
        BundleError: a file is missing, altered, or does not fit.
        ConfigError: the bundle has no filter.
    """
    manifest.verify_files(bundle, tuple(n for n in HEAD_FILES if n in manifest.files))
    codec = load_frame_codec(bundle, manifest)
    found = None
    if presence and FILTER not in manifest.files:
        raise ConfigError(f"{bundle} has no filter: `narrows bundle filter` makes one")
    if presence:
        found = PresenceFilter.load(bundle / FILTER, codec.channels)
    runner = load_head(bundle, manifest, head, threads)
    return FeatureEncoder(manifest.input, runner, codec, video, found)
