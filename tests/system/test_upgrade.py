"""A bundle's new version is served while a device sends: nothing is lost, the device follows."""

import json
import os
import shutil
import signal
import subprocess

import pytest
from PIL import Image
from serving import process

pytest.importorskip("torch", reason="needs the server extra")

from bundles import renew

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def feed(device: subprocess.Popen, photograph: str, count: int) -> list[dict]:
    device.stdin.write(f"{photograph}\n" * count)
    device.stdin.flush()
    return [json.loads(device.stdout.readline()) for _ in range(count)]


@pytest.mark.parametrize("executor", ["local", "ray"])
@pytest.mark.parametrize("video", [False, True], ids=["pictures", "video"])
def test_a_device_follows_a_new_version_and_loses_no_frame(tiny_bundle, tmp_path, executor, video):
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    Image.new("RGB", (40, 32), "red").save(tmp_path / "red.png")
    photograph = str(tmp_path / "red.png")
    serve = ("serve", str(bundle), "--executor", executor, "--port", "0", "--json")
    cache = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with process(*serve) as server:
        address = json.loads(server.stdout.readline())["address"]
        edge = ("edge", "-", "--server", address, "--window", "1", "--json")
        with process(*edge, "--video" if video else "--no-video", env=cache) as device:
            records = feed(device, photograph, 20)
            renew(bundle, "two")
            os.kill(server.pid, signal.SIGHUP)
            versions = tmp_path / "cache" / "narrows" / "bundles"
            while len(list(versions.glob("*/manifest.json"))) < 2:
                records += feed(device, photograph, 5)
            records += feed(device, photograph, 20)
            device.stdin.close()
            summary = json.loads(device.stdout.readline())["summary"]
    assert {record["status"] for record in records} == {"OK"}
    assert summary["lost"] == summary["failed"] == 0
    assert summary["renewals"] == 1
