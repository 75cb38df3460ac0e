"""The bundle's manifest: what a device and a server must agree on before the first frame.

One JSON file beside the weights. It names every file with its SHA-256, and its own digest
(SHA-256 of the canonical JSON without the digest) names the bundle: a packet carries the first
four bytes of it, so features never meet tables they were not coded with.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from narrows.errors import BundleError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
INT8_HEAD = "head_int8.safetensors"
INT8_LAYERS = "int8_layers"  # its layer list in `Manifest.head`; a bundle may lack both
INTER_TABLES = "inter_tables.safetensors"  # for videos; a bundle may lack it
FILTER = "filter.safetensors"  # of frames with nothing in them; a bundle may lack it
EXIT = "exit.safetensors"  # the device's own answer; a bundle may lack it
HEAD_FILES = (  # the device's part
    "head.onnx", "head.safetensors", INT8_HEAD, "tables.safetensors", INTER_TABLES, FILTER, EXIT,
)  # fmt: skip
DIGEST_PREFIX_BYTES = 4
PRECISION_LOSS = 0.002  # share of a score that a tail in less than float32 may cost

Precision = Literal["fp32", "bf16"]  # what a tail computes in

Share = Annotated[float, Meta(ge=0, le=1)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class FileEntry(_Strict, frozen=True, kw_only=True):
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Meta(ge=0)]


class InputSpec(_Strict, frozen=True, kw_only=True):
    """How a photograph becomes the head's input: docs/bundle.md has the rule in words."""

    short_side: Annotated[int, Meta(ge=8, le=4096)]  # pixels after resizing
    max_aspect: Annotated[float, Meta(ge=1.0, le=8.0)]  # a longer side is centre-cropped
    stride: Annotated[int, Meta(ge=1, le=64)]  # the head's; sides are padded to a multiple of it
    colour: Annotated[str, Meta(pattern="^RGB$")] = "RGB"
    mean: tuple[float, float, float]  # of values in 0..1
    std: tuple[float, float, float]


class LatentSpec(_Strict, frozen=True, kw_only=True):
    channels: Annotated[int, Meta(ge=1, le=4096)]
    max_height: Annotated[int, Meta(ge=1, le=4096)]
    max_width: Annotated[int, Meta(ge=1, le=4096)]


class OperatingPoint(_Strict, frozen=True, kw_only=True):
    """One rate: point 0 is the finest. Bytes and accuracy are measured, through the real coder."""

    id: Annotated[int, Meta(ge=0, le=255)]
    packet_bytes: Annotated[float, Meta(ge=0)]  # mean over the frames of `Manifest.measured_on`
    accuracy: Share | None = None  # of the classification; None where there is none
    scores: dict[str, Share] = {}  # of the other tasks: mAP, mIoU
    tail_scores: dict[
        Precision, dict[str, Share]
    ] = {}  # every task's, by what the tail computes in

    @property
    def scores_of(self) -> dict[str, float]:
        """Every task's, the classification's accuracy among them."""
        return _scores(self.accuracy, self.scores)


class Manifest(_Strict, frozen=True, kw_only=True):
    schema_version: int = SCHEMA_VERSION
    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    digest: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")] = ""
    cut: str  # which part of the backbone the head and the decoder replace
    input: InputSpec
    latent: LatentSpec
    head: dict[str, Any]  # the head's layer lists, for runners other than ONNX
    tail: dict[str, Any]  # architecture name and configuration
    operating_points: Annotated[tuple[OperatingPoint, ...], Meta(min_length=1)]
    unsplit_accuracy: Share | None = None
    unsplit_scores: dict[str, Share] = {}
    measured_on: str  # which frames the figures above come from
    labels: tuple[str, ...] = ()  # of the classification: what people read, by class index
    folders: tuple[str, ...] = ()  # the class folders of the training set, in the same order
    tasks: dict[Literal["detection", "segmentation"], tuple[str, ...]] = {}  # and their labels
    provenance: dict[str, Any]  # data, seed, commit, recipe
    files: dict[str, FileEntry]

    @property
    def digest_prefix(self) -> bytes:
        """First bytes of the digest, as a packet's header carries them."""
        return bytes.fromhex(self.digest)[:DIGEST_PREFIX_BYTES]

    @property
    def labels_of(self) -> dict[str, tuple[str, ...]]:
        """Every task with its labels, by class index."""
        return ({"classification": self.labels} if self.labels else {}) | self.tasks

    @property
    def tail_precisions(self) -> tuple[Precision, ...]:
        """What a tail may compute in: float32, and what costs no score of any point too much."""
        return ("fp32", *(("bf16",) if self._as_accurate("bf16") else ()))

    def _as_accurate(self, precision: Precision) -> bool:
        measured = [(p.tail_scores.get("fp32"), p.tail_scores.get(precision))
                    for p in self.operating_points]  # fmt: skip
        return all(
            exact and found and exact.keys() == found.keys()
            and all(exact[task] - found[task] <= PRECISION_LOSS + 1e-9 for task in exact)
            for exact, found in measured
        )  # fmt: skip

    @property
    def unsplit_scores_of(self) -> dict[str, float]:
        """Every task's, as `OperatingPoint.scores_of`."""
        return _scores(self.unsplit_accuracy, self.unsplit_scores)

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, texts and numbers, as in the file.

        Fields that the first bundles had not are left out where empty: their digests stay.
        """
        fields: dict[str, Any] = msgspec.to_builtins(self)
        for holder, added in [
            (fields, ("tasks", "unsplit_scores")),
            *((point, ("scores", "tail_scores")) for point in fields["operating_points"]),
        ]:
            for name in added:
                if not holder[name]:
                    del holder[name]
        return fields

    def computed_digest(self) -> str:
        """SHA-256, in hex, of the canonical JSON (sorted keys, no spaces) without `digest`."""
        body = self.as_dict()
        del body["digest"]
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def sealed(cls, fields: dict[str, Any]) -> "Manifest":
        """A manifest of these fields, with the digest that they have.

        Raises:
            BundleError: a key missing, unknown or out of range.
        """
        manifest = _checked(lambda: msgspec.convert(fields | {"digest": ""}, cls), "manifest")
        return msgspec.structs.replace(manifest, digest=manifest.computed_digest())

    @classmethod
    def parse(cls, text: str | bytes, origin: str) -> "Manifest":
        """Check the text of a manifest; `origin` names it in errors.

        Raises:
            BundleError: not JSON, a key missing, unknown or out of range, or a wrong digest.
        """
        manifest = _checked(lambda: msgspec.json.decode(text, type=cls), origin)
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


def _scores(accuracy: float | None, others: dict[str, float]) -> dict[str, float]:
    return ({} if accuracy is None else {"classification": accuracy}) | others


def _checked(make: Callable[[], Manifest], origin: str) -> Manifest:
    try:
        return make()
    except msgspec.DecodeError as error:  # and what it is derived into: a value out of range
        raise BundleError(f"{origin}: {error}") from None
