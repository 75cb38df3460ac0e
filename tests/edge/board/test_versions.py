"""Versions of a bundle: switched by a link, kept from half ones, and back again."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="makes bundles")

from PIL import Image
from serving import process

from narrows.codec.manifest import MANIFEST, Manifest
from narrows.codec.signature import sign_bundle
from narrows.edge.board.update import Origin, try_out, update
from narrows.edge.board.versions import Versions
from narrows.errors import BundleError
from narrows.models.bundle import write_manifest

SWITCHES = """
import sys
from pathlib import Path
from narrows.edge.board.versions import Versions
store, one, other = Versions(Path(sys.argv[1])), *sys.argv[2:]
while True:
    for digest in (one, other):
        store.switch(digest)
        print(digest, flush=True)
"""


def put(store: Versions, bundle: Path, name: str) -> str:
    """A version of the bundle, of another name: another digest."""
    scratch = store.folder / "scratch"
    shutil.copytree(bundle, scratch)
    told = Manifest.load(bundle).as_dict() | {"name": name}
    digest = write_manifest(scratch, told).digest
    store.cache.mkdir(parents=True, exist_ok=True)
    scratch.rename(store.path(digest))
    return digest


@pytest.fixture
def store(tmp_path) -> Versions:
    made = Versions(tmp_path / "store")
    made.folder.mkdir()
    return made


def test_switching_and_going_back(store, tiny_bundle):
    one, other = put(store, tiny_bundle, "one"), put(store, tiny_bundle, "other")
    with pytest.raises(BundleError, match="no version"):
        store.back()
    store.switch(one)
    assert (store.current, store.previous) == (one, None)
    store.switch(other)
    assert Manifest.load(store.folder / "current").name == "other"
    assert store.back() == one
    assert store.current == one
    third = put(store, tiny_bundle, "third")
    store.prune()
    assert not store.path(third).exists()
    assert store.path(one).exists()


def test_half_a_version_is_not_switched_to(store, tiny_bundle):
    one, other = put(store, tiny_bundle, "one"), put(store, tiny_bundle, "other")
    store.switch(one)
    (store.path(other) / "head.safetensors").write_bytes(b"half")
    with pytest.raises(BundleError, match=r"head\.safetensors"):
        store.switch(other)
    assert store.current == one


@pytest.mark.slow
def test_killed_at_any_moment_there_is_a_whole_current_version(store, tiny_bundle):
    """Three hundred kills in the midst of switching; what was told as switched is."""
    digests = put(store, tiny_bundle, "one"), put(store, tiny_bundle, "other")
    command = [sys.executable, "-c", SWITCHES, str(store.folder), *digests]
    for turn in range(300):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            told = [process.stdout.readline().strip() for _ in range(1 + turn % 7)]
            process.kill()
            told += process.stdout.read().split()
        after = digests[1 - digests.index(told[-1])]
        assert store.current in (told[-1], after)  # the next switch may have been made, untold
        manifest = Manifest.load(store.folder / "current")
        manifest.verify_files(store.folder / "current")


@pytest.fixture
def photographs(tmp_path) -> list[Path]:
    path = tmp_path / "photographs" / "red.png"
    path.parent.mkdir()
    Image.new("RGB", (48, 40), "red").save(path)
    return [path]


def test_an_update_is_signed_tried_and_undone_where_it_is_not_healthy(
    tiny_bundle, tmp_path, photographs
):
    bundle, key = shutil.copytree(tiny_bundle, tmp_path / "bundle"), tmp_path / "key.pem"
    sign_bundle(bundle, key)
    store, trust = Versions(tmp_path / "store"), tmp_path / "key.pem.pub"
    with process("serve", str(bundle), "--port", "0", "--json") as server:
        address = json.loads(server.stdout.readline())["address"]
        origin = Origin(address, "", None, trust)
        first = update(store, origin, photographs)
        assert first.did == "switched"
        assert update(store, origin, photographs).did == "nothing"
    other = put(store, tiny_bundle, "older")
    store.switch(other)
    restarts = []
    with process("serve", str(bundle), "--port", "0", "--json") as server:
        address = json.loads(server.stdout.readline())["address"]
        origin = Origin(address, "", None, trust)
        ill = update(
            store, origin, photographs, lambda: restarts.append(store.current), lambda: False
        )
        assert (ill.did, ill.digest, store.current) == ("went back", other, other)
        assert restarts == [first.digest, other]
        stranger = tmp_path / "stranger.pem"
        sign_bundle(shutil.copytree(tiny_bundle, tmp_path / "another"), stranger)
        with pytest.raises(BundleError, match="sign"):
            update(store, Origin(address, "", None, tmp_path / "stranger.pem.pub"), photographs)
        assert store.current == other


def test_a_version_that_fails_on_a_photograph_is_named(tiny_bundle, photographs):
    try_out(tiny_bundle, photographs)
    broken = photographs[0].with_name("broken.png")
    broken.write_bytes(b"broken")
    with pytest.raises(BundleError, match=r"broken\.png"):
        try_out(tiny_bundle, [broken])


def test_manifest_is_what_versions_differ_by(store, tiny_bundle):
    one = put(store, tiny_bundle, "one")
    assert (store.path(one) / MANIFEST).is_file()
    assert one != Manifest.load(tiny_bundle).digest
