"""A bundle's new version is served while a device sends: nothing is lost, the device follows."""

import json
import os
import shutil
import signal
import subprocess

import pytest
from PIL import Image
from serving import PATIENT, process

pytest.importorskip("torch", reason="needs the server extra")

from bundles import renew

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def feed(device: subprocess.Popen, photograph: str, count: int) -> list[dict]:
    device.stdin.write(f"{photograph}\n" * count)
    device.stdin.flush()
    return [json.loads(device.stdout.readline()) for _ in range(count)]


@pytest.fixture(scope="module", params=["local", "ray"])
def served(request, tiny_bundle, tmp_path_factory):
    """A bundle that may change, its server's process, and its address."""
    bundle = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("served") / "bundle")
    options = ("--executor", request.param, "--port", "0", "--json")
    with process("serve", str(bundle), *options) as server:
        yield bundle, server.pid, json.loads(server.stdout.readline())["address"]


@pytest.mark.parametrize("video", [False, True], ids=["pictures", "video"])
def test_a_device_follows_new_versions_and_loses_no_frame(served, tmp_path, video):
    bundle, server, address = served
    Image.new("RGB", (40, 32), "red").save(tmp_path / "red.png")
    photograph = str(tmp_path / "red.png")
    cache = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    versions = tmp_path / "cache" / "narrows" / "bundles"
    edge = ("edge", "-", "--server", address, "--window", "1", *PATIENT)
    with process(*edge, "--video" if video else "--no-video", env=cache) as device:
        records = feed(device, photograph, 20)
        for known in (2, 3):  # the third is fetched once the second is in use
            renew(bundle, f"{tmp_path} {known}")
            os.kill(server, signal.SIGHUP)
            while len(list(versions.glob("*/manifest.json"))) < known:
                records += feed(device, photograph, 5)
        records += feed(device, photograph, 20)
        device.stdin.close()
        summary = json.loads(device.stdout.readline())["summary"]
    assert {record["status"] for record in records} == {"OK"}
    assert summary["lost"] == summary["failed"] == 0
    assert summary["renewals"] >= 1
