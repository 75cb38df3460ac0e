"""A bundle with one byte changed, whichever: refused by server and device, naming the file."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.codec.manifest import HEAD_FILES, MANIFEST, SIGNATURE, Manifest
from narrows.codec.signature import sign_bundle
from narrows.edge.fetch import _require
from narrows.errors import BundleError
from narrows.server.registry import load_registry


@pytest.fixture(scope="module")
def signed(tiny_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("signed")
    bundle = shutil.copytree(tiny_bundle, folder / "bundle")
    return bundle, sign_bundle(bundle, folder / "key")


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_changed_byte_is_refused_and_its_file_named(signed, data):
    bundle, key = signed
    manifest = Manifest.load(bundle)
    name = data.draw(st.sampled_from([*sorted(manifest.files), MANIFEST, SIGNATURE]))
    path = bundle / name
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    altered = bytearray(whole)
    altered[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(altered)
    named = "manifest" if name in (MANIFEST, SIGNATURE) else name
    try:
        with pytest.raises(BundleError, match=named):
            load_registry([bundle], key)
        if name in {MANIFEST, SIGNATURE, *HEAD_FILES}:
            with pytest.raises(BundleError, match=named):
                _require(bundle, manifest.digest, "there", key)
    finally:
        path.write_bytes(whole)
    load_registry([bundle], key)
