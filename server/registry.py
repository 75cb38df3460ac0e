"""The bundles a server serves, found by name or by the digest prefix a packet carries."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from narrows.codec.frame import FrameCodec, load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.models.bundle import TailRunner
from narrows.protos.narrows.v1 import inference_pb2
from narrows.server.refusal import Refusal

Status = inference_pb2.FrameStatus


@dataclass(frozen=True, eq=False)
class ServedBundle:
    """One bundle, checked and loaded."""

    folder: Path
    manifest: Manifest
    codec: FrameCodec
    tail: TailRunner


class Registry:
    """All served bundles; immutable after the start."""

    def __init__(self, bundles: Sequence[ServedBundle]):
        """Raises ConfigError for none, or two of one name or digest prefix."""
        if not bundles:
            raise ConfigError("no bundle to serve: name at least one folder")
        self.by_name = {b.manifest.name: b for b in bundles}
        self.by_prefix = {b.manifest.digest_prefix: b for b in bundles}
        if len(self.by_name) != len(bundles) or len(self.by_prefix) != len(bundles):
            raise ConfigError("two bundles share a name or a digest prefix: serve one of them")

    def named(self, name: str) -> ServedBundle:
        """The bundle of that name; the only one if the name is empty. Raises Refusal."""
        if not name and len(self.by_name) == 1:
            return next(iter(self.by_name.values()))
        if name not in self.by_name:
            raise Refusal(Status.UNKNOWN_BUNDLE, f"no bundle {name!r}; served: {self._names()}")
        return self.by_name[name]

    def of_packet(self, name: str, prefix: bytes) -> ServedBundle:
        """The bundle a packet was made with. Raises Refusal."""
        if not name:
            if prefix not in self.by_prefix:
                message = f"no bundle with digest {prefix.hex()}...; served: {self._names()}"
                raise Refusal(Status.UNKNOWN_BUNDLE, message)
            return self.by_prefix[prefix]
        bundle = self.named(name)
        if bundle.manifest.digest_prefix != prefix:
            raise Refusal(
                Status.WRONG_DIGEST,
                f"the packet was made with {name} {prefix.hex()}..., this server has "
                f"{bundle.manifest.digest_prefix.hex()}...: fetch the bundle again",
            )
        return bundle

    def _names(self) -> str:
        return ", ".join(f"{n} {b.manifest.digest[:8]}..." for n, b in self.by_name.items())


def load_registry(folders: Sequence[Path]) -> Registry:
    """Check and load every bundle. Raises BundleError and ConfigError."""
    return Registry([_load(folder) for folder in folders])


def _load(folder: Path) -> ServedBundle:
    manifest = Manifest.load(folder)
    manifest.verify_files(folder)
    codec = load_frame_codec(folder, manifest)
    return ServedBundle(folder, manifest, codec, TailRunner.load(folder, manifest))
