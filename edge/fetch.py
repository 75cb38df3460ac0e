"""The device's part of a bundle, from the server into a cache; nothing unchecked is ever used."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from narrows.codec.manifest import HEAD_FILES, MANIFEST, SIGNATURE, Manifest
from narrows.edge.link import MAX_MESSAGE_BYTES, check_address
from narrows.edge.scratch import scratch_in, sync_to_disk
from narrows.errors import BundleError, LinkError
from narrows.protos.narrows.v1 import bundles_pb2, bundles_pb2_grpc
from narrows.security.credentials import device_credentials

ALLOWED = frozenset({MANIFEST, SIGNATURE, *HEAD_FILES})
MAX_FILE_BYTES = 256 << 20  # a device's part is a few MiB; a server cannot fill its disk


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/narrows/bundles, by default under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "narrows" / "bundles"


def fetch_bundle(
    address: str,
    name: str,
    cache: Path,
    timeout_s: float = 30.0,
    tls: Path | None = None,
    trust: Path | None = None,
) -> Path:
    """The folder of the served bundle `name` (empty: the server's only one), fetched if need be.

    tls: this device's credentials; None: plain text. trust: the Ed25519 key that must have signed
    the bundle.

    Raises:
        LinkError: the server cannot be reached.
        BundleError: no such bundle, what came does not match its manifest or its signature, or
            there is no room to keep it.
    """
    with _bundles(address, tls) as stub:
        info = _choose(
            stub.List(bundles_pb2.ListBundlesRequest(), timeout=timeout_s, wait_for_ready=True),
            name,
            address,
        )
        target = cache / info.digest.hex()
        if _holds(target, info.digest.hex(), trust):
            (target / MANIFEST).touch()  # `kept_bundle` takes the one used last
            return target
        request = bundles_pb2.FetchBundleRequest(
            name=info.name, part=bundles_pb2.FetchBundleRequest.HEAD
        )
        try:
            _fetch(stub, request, info.digest.hex(), target, address, timeout_s, trust)
        except OSError as error:
            raise BundleError(f"{cache}: cannot keep the bundle there: {error.strerror}") from None
    return target


def kept_bundle(cache: Path, name: str, trust: Path | None = None) -> Path | None:
    """The folder of the bundle `name` (empty: of any) that was used last, if a whole one is kept.

    trust: as in `fetch_bundle`.
    """
    used = {path: path.stat().st_mtime_ns for path in cache.glob(f"*/{MANIFEST}")}
    for manifest in sorted(used, key=lambda path: -used[path]):
        folder = manifest.parent
        if _holds(folder, folder.name, trust) and name in ("", Manifest.load(folder).name):
            return folder
    return None


def _fetch(
    stub: bundles_pb2_grpc.BundlesStub,
    request: bundles_pb2.FetchBundleRequest,
    digest: str,
    target: Path,
    address: str,
    timeout_s: float,
    trust: Path | None,
) -> None:
    with scratch_in(target.parent) as arriving:
        receive(stub.Fetch(request, timeout=timeout_s), arriving)
        _require(arriving, digest, address, trust)
        _move_into_place(arriving, target)


@contextmanager
def _bundles(address: str, tls: Path | None) -> Iterator[bundles_pb2_grpc.BundlesStub]:
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
    check_address(address)
    with (
        grpc.insecure_channel(address, options)
        if tls is None
        else grpc.secure_channel(address, device_credentials(tls), options)
    ) as channel:
        try:
            yield bundles_pb2_grpc.BundlesStub(channel)
        except grpc.RpcError as error:
            cause = f"{error.code().name}: {error.details()}"  # type: ignore[attr-defined]
            raise LinkError(
                f"{address}: cannot fetch a bundle: {cause}: is `narrows serve` running there?"
            ) from None


def _choose(reply: bundles_pb2.ListBundlesReply, name: str, address: str) -> bundles_pb2.BundleInfo:
    served = {info.name: info for info in reply.bundles}
    if name in served:
        return served[name]
    if not name and len(served) == 1:
        return reply.bundles[0]
    wanted = f"no bundle {name!r}" if name else "several bundles: name one with --bundle"
    raise BundleError(f"{address}: {wanted}; it serves: {', '.join(sorted(served)) or 'none'}")


def receive(chunks: Iterable[bundles_pb2.BundleChunk], folder: Path) -> None:
    """Write the chunks' files into `folder`.

    Raises:
        BundleError: a file a device does not need, chunks out of order, or too many bytes.
    """
    sizes: dict[str, int] = {}
    for chunk in chunks:
        if chunk.file not in ALLOWED:
            raise BundleError(
                f"the server sent {chunk.file!r}: expected {', '.join(sorted(ALLOWED))}"
            )
        size = sizes.get(chunk.file, 0)
        if chunk.offset != size or size + len(chunk.data) > MAX_FILE_BYTES:
            raise BundleError(f"{chunk.file}: chunk at {chunk.offset}, expected {size}")
        with (folder / chunk.file).open("ab") as file:
            file.write(chunk.data)
        sizes[chunk.file] = size + len(chunk.data)


def _holds(folder: Path, digest: str, trust: Path | None) -> bool:
    try:
        _require(folder, digest, str(folder), trust)
    except BundleError:
        return False
    return True


def _require(folder: Path, digest: str, origin: str, trust: Path | None) -> None:
    if trust is not None:
        from narrows.codec.signature import verify_signature  # 10 MB that most devices save

        verify_signature(folder, trust)
    manifest = Manifest.load(folder)
    if manifest.digest != digest:
        raise BundleError(f"{origin}: expected bundle {digest[:12]}, got {manifest.digest[:12]}")
    manifest.verify_files(folder, tuple(n for n in HEAD_FILES if n in manifest.files))


def _move_into_place(arriving: Path, target: Path) -> None:
    """Another process may have been first, or an old copy was damaged: replace file by file."""
    target.mkdir(exist_ok=True)
    for path in sorted(arriving.iterdir(), key=lambda p: p.name == MANIFEST):  # the manifest last
        sync_to_disk(path)
        os.replace(path, target / path.name)
    sync_to_disk(target)
    sync_to_disk(target.parent)
