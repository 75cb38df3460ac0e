"""The bundle's manifest: what a device and a server must agree on before the first frame.

One JSON file beside the weights. It names every file with its SHA-256, and its own digest
(SHA-256 of the canonical JSON without the digest) names the bundle: a packet carries the first
four bytes of it, so features never meet tables they were not coded with.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from narrows.errors import BundleError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
INT8_HEAD = "head_int8.safetensors"
INT8_LAYERS = "int8_layers"  # its layer list in `Manifest.head`; a bundle may lack both
HEAD_FILES = ("head.onnx", "head.safetensors", INT8_HEAD, "tables.safetensors")  # the device's part
DIGEST_PREFIX_BYTES = 4


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Strict):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class InputSpec(_Strict):
    """How a photograph becomes the head's input: docs/bundle.md has the rule in words."""

    short_side: int = Field(ge=8, le=4096)  # pixels after resizing
    max_aspect: float = Field(ge=1.0, le=8.0)  # a longer side is centre-cropped
    stride: int = Field(ge=1, le=64)  # the head's; sides are padded to a multiple of it
    colour: str = Field(default="RGB", pattern="^RGB$")
    mean: tuple[float, float, float]  # of values in 0..1
    std: tuple[float, float, float]


class LatentSpec(_Strict):
    channels: int = Field(ge=1, le=4096)
    max_height: int = Field(ge=1, le=4096)
    max_width: int = Field(ge=1, le=4096)


class OperatingPoint(_Strict):
    """One rate: point 0 is the finest. Bytes and accuracy are measured, through the real coder."""

    id: int = Field(ge=0, le=255)
    packet_bytes: float = Field(ge=0)  # mean over the frames of `Manifest.measured_on`
    accuracy: float = Field(ge=0, le=1)


class Manifest(_Strict):
    schema_version: int = SCHEMA_VERSION
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    cut: str  # which part of the backbone the head and the decoder replace
    input: InputSpec
    latent: LatentSpec
    head: dict[str, Any]  # the head's layer lists, for runners other than ONNX
    tail: dict[str, Any]  # architecture name and configuration
    operating_points: tuple[OperatingPoint, ...] = Field(min_length=1)
    unsplit_accuracy: float = Field(ge=0, le=1)
    measured_on: str  # which frames the figures above come from
    labels: tuple[str, ...] = Field(min_length=1)  # what people read, by class index
    folders: tuple[str, ...] = ()  # the class folders of the training set, in the same order
    provenance: dict[str, Any]  # data, seed, commit, recipe
    files: dict[str, FileEntry]

    @property
    def digest_prefix(self) -> bytes:
        """First bytes of the digest, as a packet's header carries them."""
        return bytes.fromhex(self.digest)[:DIGEST_PREFIX_BYTES]

    def computed_digest(self) -> str:
        """SHA-256, in hex, of the canonical JSON (sorted keys, no spaces) without `digest`."""
        body = self.model_dump(mode="json", exclude={"digest"})
        return hashlib.sha256(
            json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()

    @classmethod
    def parse(cls, text: str | bytes, origin: str) -> "Manifest":
        """Check the text of a manifest; `origin` names it in errors.

        Raises:
            BundleError: not JSON, a key missing, unknown or out of range, or a wrong digest.
        """
        try:
            manifest = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise BundleError(f"{origin}: {where}: {first['msg']}") from None
        if manifest.schema_version != SCHEMA_VERSION:
            raise BundleError(
                f"{origin}: schema version {manifest.schema_version}, this build reads "
                f"{SCHEMA_VERSION}: update narrows or export the bundle again"
            )
        if manifest.digest != manifest.computed_digest():
            raise BundleError(f"{origin}: its digest does not match its content: it was edited")
        return manifest

    @classmethod
    def load(cls, bundle: Path) -> "Manifest":
        """Read and check `bundle/manifest.json`. Raises BundleError."""
        path = Path(bundle) / MANIFEST
        try:
            text = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path}: expected a bundle's manifest: {error.strerror}") from None
        return cls.parse(text, str(path))

    def verify_files(self, bundle: Path, names: tuple[str, ...] | None = None) -> None:
        """Compare the named files (all, if None) with the manifest's sizes and SHA-256.

        Raises:
            BundleError: a file is missing, unlisted, or differs.
        """
        for name in names if names is not None else tuple(self.files):
            if name not in self.files:
                raise BundleError(f"{bundle}: the manifest lists no {name}")
            path = Path(bundle) / name
            if not path.is_file():
                raise BundleError(f"{path}: missing: fetch the bundle again")
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != self.files[name].sha256:
                raise BundleError(f"{path}: SHA-256 differs from the manifest's: fetch it again")
