"""The bundles a server serves, found by name or by the digest prefix a packet carries."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from narrows.codec.frame import FrameCodec, load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.codec.signature import verify_signature
from narrows.errors import ConfigError
from narrows.models.bundle import TailRunner
from narrows.models.cores import find_device
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
    """All served bundles: of each name the newest version, and the one before it.

    Used from one event loop.
    """

    def __init__(self, bundles: Sequence[ServedBundle]):
        """Raises ConfigError for none, or two of one name or digest prefix."""
        if not bundles:
            raise ConfigError("no bundle to serve: name at least one folder")
        self.by_name = {b.manifest.name: b for b in bundles}
        self.by_prefix = {b.manifest.digest_prefix: b for b in bundles}
        if len(self.by_name) != len(bundles) or len(self.by_prefix) != len(bundles):
            raise ConfigError("two bundles share a name or a digest prefix: serve one of them")
        self._before: dict[str, ServedBundle] = {}
        self._coming: dict[str, ServedBundle] = {}
        self._changed, self._closed = asyncio.Event(), False

    def accept(self, bundle: ServedBundle) -> None:
        """Take packets of a new version, of which devices are told by `announce`."""
        self._coming[bundle.manifest.name] = bundle
        self.by_prefix[bundle.manifest.digest_prefix] = bundle

    def announce(self) -> None:
        """Serve what was accepted; packets of the version before are taken on, older ones not."""
        if not self._coming:
            return
        for name, bundle in self._coming.items():
            if oldest := self._before.get(name):
                self.by_prefix.pop(oldest.manifest.digest_prefix, None)
            self._before[name] = self.by_name[name]
            self.by_name[name] = self.by_prefix[bundle.manifest.digest_prefix] = bundle
        self._coming.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    async def changes(self) -> AsyncIterator[list[Manifest]]:
        """The newest manifests, now and after every change, until `close`."""
        while not self._closed:
            changed = self._changed
            yield [bundle.manifest for bundle in self.by_name.values()]
            await changed.wait()

    def close(self) -> None:
        """End all `changes`."""
        self._closed = True
        self._changed.set()

    def named(self, name: str) -> ServedBundle:
        """The bundle of that name; the only one if the name is empty. Raises Refusal."""
        if not name and len(self.by_name) == 1:
            return next(iter(self.by_name.values()))
        if name not in self.by_name:
            raise Refusal(Status.UNKNOWN_BUNDLE, f"no bundle {name!r}; served: {self._names()}")
        return self.by_name[name]

    def of_packet(self, name: str, prefix: bytes) -> ServedBundle:
        """The bundle a packet was made with. Raises Refusal."""
        bundle = self.by_prefix.get(prefix)
        if bundle is not None and name in ("", bundle.manifest.name):
            return bundle
        if not name:
            message = f"no bundle with digest {prefix.hex()}...; served: {self._names()}"
            raise Refusal(Status.UNKNOWN_BUNDLE, message)
        newest = self.named(name)
        raise Refusal(
            Status.WRONG_DIGEST,
            f"the packet was made with {name} {prefix.hex()}..., this server has "
            f"{newest.manifest.digest_prefix.hex()}...: fetch the bundle again",
        )

    def _names(self) -> str:
        return ", ".join(f"{n} {b.manifest.digest[:8]}..." for n, b in self.by_name.items())


def load_registry(
    folders: Sequence[Path], trust: Path | None = None, device: str = "auto"
) -> Registry:
    """Check and load every bundle onto a device; `trust`: the key that must have signed it.

    Raises:
        BundleError: a file differs from what the manifest says, or no such signature.
        ConfigError: two of one name, `trust` is no key, or there is no such device.
    """
    return Registry([load_bundle(folder, trust, device) for folder in folders])


def load_bundle(folder: Path, trust: Path | None, device: str = "auto") -> ServedBundle:
    """One bundle, checked. Raises as `load_registry`."""
    if trust is not None:
        verify_signature(folder, trust)
    manifest = Manifest.load(folder)
    manifest.verify_files(folder)
    codec = load_frame_codec(folder, manifest)
    tail = TailRunner.load(folder, manifest, find_device(device).type)
    return ServedBundle(folder, manifest, codec, tail)
