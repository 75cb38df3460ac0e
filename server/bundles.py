"""The Bundles service: what is served here, and a device's part of it."""

from collections.abc import AsyncIterator, Iterable

import grpc

from narrows.codec.manifest import HEAD_FILES, MANIFEST, SIGNATURE, Manifest
from narrows.protos.narrows.v1 import bundles_pb2, bundles_pb2_grpc
from narrows.server.refusal import Refusal
from narrows.server.registry import Registry, ServedBundle

CHUNK_BYTES = 64 << 10


class BundleService(bundles_pb2_grpc.BundlesServicer):
    """Lists bundles and streams their files; only files the manifest names leave the server."""

    def __init__(self, registry: Registry):
        self._registry = registry

    async def List(
        self, request: bundles_pb2.ListBundlesRequest, context: grpc.aio.ServicerContext
    ) -> bundles_pb2.ListBundlesReply:
        """Every served bundle."""
        return _reply(bundle.manifest for bundle in self._registry.by_name.values())

    async def Watch(
        self, request: bundles_pb2.WatchBundlesRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bundles_pb2.ListBundlesReply]:
        """Every served bundle, and again when one has a new version."""
        async for manifests in self._registry.changes():
            yield _reply(manifests)

    async def Fetch(
        self, request: bundles_pb2.FetchBundleRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bundles_pb2.BundleChunk]:
        """The files of one bundle, the manifest first."""
        try:
            bundle = self._registry.named(request.name)
        except Refusal as refusal:
            await context.abort(grpc.StatusCode.NOT_FOUND, refusal.message)
        for chunk_of in _files(bundle, request.part):
            data = (bundle.folder / chunk_of).read_bytes()
            for offset in range(0, len(data), CHUNK_BYTES):
                yield bundles_pb2.BundleChunk(
                    file=chunk_of,
                    offset=offset,
                    file_bytes=len(data),
                    data=data[offset : offset + CHUNK_BYTES],
                )


def _reply(manifests: Iterable[Manifest]) -> bundles_pb2.ListBundlesReply:
    return bundles_pb2.ListBundlesReply(bundles=[_info(manifest) for manifest in manifests])


def _files(bundle: ServedBundle, part: bundles_pb2.FetchBundleRequest.Part) -> list[str]:
    wanted = HEAD_FILES if part == bundles_pb2.FetchBundleRequest.HEAD else bundle.manifest.files
    signature = [SIGNATURE] if (bundle.folder / SIGNATURE).is_file() else []
    return [MANIFEST, *signature, *(name for name in wanted if name in bundle.manifest.files)]


def _info(manifest: Manifest) -> bundles_pb2.BundleInfo:
    sizes = {name: entry.bytes for name, entry in manifest.files.items()}
    return bundles_pb2.BundleInfo(
        name=manifest.name,
        digest=bytes.fromhex(manifest.digest),
        head_bytes=sum(sizes[name] for name in HEAD_FILES if name in sizes),
        total_bytes=sum(sizes.values()),
    )
