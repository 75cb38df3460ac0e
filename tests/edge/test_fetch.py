"""A device uses a fetched bundle only when every byte is what the manifest says."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from narrows.codec.manifest import HEAD_FILES, MANIFEST, Manifest
from narrows.edge.fetch import fetch_bundle, kept_bundle
from narrows.errors import BundleError, LinkError
from narrows.protos.narrows.v1 import bundles_pb2, bundles_pb2_grpc

Chunk = bundles_pb2.BundleChunk
Alter = Callable[[Chunk], list[Chunk]]


def device_part(bundle: Path) -> tuple[str, ...]:
    """Those of its files; some are optional."""
    return tuple(name for name in HEAD_FILES if name in Manifest.load(bundle).files)


class _Server(bundles_pb2_grpc.BundlesServicer):
    """Serves one bundle's head, each chunk through `alter`."""

    def __init__(self, folder: Path, alter: Alter, names: tuple[str, ...]):
        self.folder, self.alter, self.names = folder, alter, names
        self.fetches = 0

    def List(self, request, context):  # type: ignore[no-untyped-def]
        digest = bytes.fromhex(Manifest.load(self.folder).digest)
        infos = [bundles_pb2.BundleInfo(name=name, digest=digest) for name in self.names]
        return bundles_pb2.ListBundlesReply(bundles=infos)

    def Fetch(self, request, context):  # type: ignore[no-untyped-def]
        self.fetches += 1
        for name in (MANIFEST, *device_part(self.folder)):
            data = (self.folder / name).read_bytes()
            for offset in range(0, len(data), 1000):
                yield from self.alter(
                    Chunk(file=name, offset=offset, data=data[offset : offset + 1000])
                )


@contextmanager
def serving(
    folder: Path, alter: Alter = lambda chunk: [chunk], names: tuple[str, ...] = ("tiny",)
) -> Iterator[tuple[str, _Server]]:
    with ThreadPoolExecutor(2) as pool:
        server, servicer = grpc.server(pool), _Server(folder, alter, names)
        bundles_pb2_grpc.add_BundlesServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}", servicer
        finally:
            server.stop(0).wait()


def test_the_devices_part_is_fetched_once_and_kept(tiny_bundle: Path, tmp_path: Path) -> None:
    with serving(tiny_bundle) as (address, server):
        first = fetch_bundle(address, "", tmp_path)
        second = fetch_bundle(address, "tiny", tmp_path)
    assert first == second
    assert server.fetches == 1
    assert {p.name for p in first.iterdir()} == {MANIFEST, *device_part(tiny_bundle)}
    assert [p.name for p in tmp_path.iterdir()] == [Manifest.load(tiny_bundle).digest]


def test_a_damaged_copy_is_fetched_again(tiny_bundle: Path, tmp_path: Path) -> None:
    with serving(tiny_bundle) as (address, server):
        folder = fetch_bundle(address, "tiny", tmp_path)
        (folder / "head.onnx").write_bytes(b"damaged")
        fetch_bundle(address, "tiny", tmp_path)
    assert server.fetches == 2
    Manifest.load(folder).verify_files(folder, device_part(tiny_bundle))


def _flip(chunk: Chunk) -> list[Chunk]:
    if chunk.file == "head.onnx":
        chunk.data = bytes([chunk.data[0] ^ 1]) + chunk.data[1:]
    return [chunk]


def _escape(chunk: Chunk) -> list[Chunk]:
    return [Chunk(file="../head.onnx", data=b"x"), chunk]


def _gap(chunk: Chunk) -> list[Chunk]:
    return [] if chunk.offset == 0 and chunk.file == "head.onnx" else [chunk]


def _nothing(chunk: Chunk) -> list[Chunk]:
    return []


@pytest.mark.parametrize("alter", [_flip, _escape, _gap, _nothing])
def test_an_altered_bundle_is_refused_and_leaves_nothing(
    tiny_bundle: Path, tmp_path: Path, alter: Alter
) -> None:
    with serving(tiny_bundle, alter) as (address, _), pytest.raises(BundleError):
        fetch_bundle(address, "tiny", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("names", "wanted"), [(("a", "b"), ""), (("a",), "b"), ((), "")])
def test_a_bundle_that_cannot_be_chosen_names_those_served(
    tiny_bundle: Path, tmp_path: Path, names: tuple[str, ...], wanted: str
) -> None:
    with serving(tiny_bundle, names=names) as (address, _):
        with pytest.raises(BundleError, match=f"it serves: {', '.join(names) or 'none'}"):
            fetch_bundle(address, wanted, tmp_path)


def test_no_server_is_a_link_error(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"127\.0\.0\.1:1: cannot fetch"):
        fetch_bundle("127.0.0.1:1", "", tmp_path, timeout_s=0.3)


def test_a_device_killed_while_it_fetches_leaves_a_whole_bundle_or_none(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    script = Path(__file__).parents[1] / "fetch_kills.py"
    with serving(tiny_bundle) as (address, _):
        command = [sys.executable, str(script), address, str(tmp_path / "cache"), "40"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kills"] == 40
    assert told["partial"] > 0
    assert told["left"] == [Manifest.load(tiny_bundle).digest]  # what the killed left is gone


def test_the_bundle_that_was_used_last_is_there_without_a_server(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    assert kept_bundle(tmp_path, "") is None
    with serving(tiny_bundle) as (address, _):
        folder = fetch_bundle(address, "tiny", tmp_path)
    name = Manifest.load(tiny_bundle).name
    assert kept_bundle(tmp_path, "") == kept_bundle(tmp_path, name) == folder
    assert kept_bundle(tmp_path, "another") is None
    (folder / "head.onnx").write_bytes(b"damaged")
    assert kept_bundle(tmp_path, name) is None
