"""A device whose link is cut keeps its frames: each has one answer in the end, whatever happens.

Real processes: a server, a device with a spool, and between them a relay that is cut and restored.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager

import pytest

pytest.importorskip("torch", reason="needs the server extra")

from PIL import Image
from serving import PATIENCE_S, process, serving

from narrows.simulations.links.relay import Relay
from narrows.simulations.links.spec import LinkSpec

pytestmark = pytest.mark.timeout(300)


class Line:
    """A relay in a thread of its own, cut and restored from outside."""

    def __init__(self, relay, loop):
        self.address = f"127.0.0.1:{relay.port}"
        self._relay, self._loop = relay, loop

    def cut(self):
        self._loop.call_soon_threadsafe(self._relay.cut)

    def restore(self):
        self._loop.call_soon_threadsafe(self._relay.restore)


@contextmanager
def line_to(target):
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    relay = Relay(target, LinkSpec.parse("20mbit,2ms"))
    asyncio.run_coroutine_threadsafe(relay.__aenter__(), loop).result()
    try:
        yield Line(relay, loop)
    finally:
        asyncio.run_coroutine_threadsafe(relay.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Device:
    """`narrows edge -` that is fed one photograph after another."""

    def __init__(self, started, folder):
        self._process, self._folder, self.records, self.fed = started, folder, [], 0

    def feed(self, count):
        for _ in range(count):
            path = self._folder / f"{self.fed:03}.png"
            Image.new("RGB", (40, 32), (self.fed, 0, 0)).save(path)
            self._process.stdin.write(f"{path}\n")
            self.fed += 1
        self._process.stdin.flush()

    def read_until(self, enough):
        """Records until `enough` of those so far."""
        while not enough(self.records):
            self.records.append(json.loads(self._process.stdout.readline()))

    def end(self):
        """Close its source; the summary."""
        self._process.stdin.close()
        *rest, summary = (json.loads(line) for line in self._process.stdout)
        self.records += rest
        return summary["summary"]

    def kill(self):
        self._process.kill()
        self.records += [json.loads(line) for line in self._process.stdout]
        self._process.wait()


@contextmanager
def device(folder, address, bundle, *options):
    arguments = (
        "edge", "-", "--server", address, "--bundle", str(bundle), "--fps", "40", "--deadline-ms",
        "2000", "--spool", str(folder / "spool"), "--json", *options,
    )  # fmt: skip
    with process(*arguments) as started:
        yield Device(started, folder)


def kept(records):
    return [r["name"] for r in records if r["kept"]]


def answered(records):
    return [r for r in records if not r["kept"]]


@pytest.fixture(scope="module")
def line(tiny_bundle):
    with serving(tiny_bundle) as (_, target), line_to(target) as line:
        yield line


@pytest.mark.parametrize("video", ["--no-video", "--video"])
def test_frames_of_an_outage_are_answered_once_the_link_is_back(line, tiny_bundle, tmp_path, video):
    with device(tmp_path, line.address, tiny_bundle, video) as edge:
        edge.feed(5)
        edge.read_until(lambda told: len(answered(told)) >= 5)
        line.cut()
        edge.feed(20)
        edge.read_until(lambda told: len(kept(told)) >= 20)
        line.restore()
        edge.read_until(lambda told: len(answered(told)) >= 25)
        edge.feed(5)
        edge.read_until(lambda told: len(answered(told)) >= 30)
        summary = edge.end()
    final = Counter(record["name"] for record in answered(edge.records))
    assert final == Counter(str(tmp_path / f"{number:03}.png") for number in range(30))
    assert {record["status"] for record in answered(edge.records)} == {"OK"}
    spooled = [record for record in edge.records if record["spooled"]]
    assert sorted(r["name"] for r in spooled) == sorted(kept(edge.records))
    in_order = [record["captured"] for record in spooled[1:]]  # one was on its way when it was cut
    assert in_order == sorted(in_order)
    assert summary["lost"] == summary["failed"] == summary["spool"]["left"] == 0
    assert summary["spool"]["answered"] == summary["spool"]["kept"] == len(spooled)


def test_a_device_killed_in_the_outage_loses_nothing_that_it_said_it_kept(
    line, tiny_bundle, tmp_path
):
    line.cut()
    with device(tmp_path, line.address, tiny_bundle) as first:
        first.feed(20)
        first.read_until(lambda told: len(kept(told)) >= 12)
        first.kill()
    line.restore()
    said = kept(first.records)
    with device(tmp_path, line.address, tiny_bundle) as second:
        second.read_until(lambda told: {r["name"] for r in answered(told)} >= set(said))
        summary = second.end()
    told = Counter(record["name"] for record in answered(first.records + second.records))
    assert all(told[name] == 1 for name in said)
    assert {r["status"] for r in second.records} == {"OK"}
    assert summary["frames"] == 0


def test_a_device_that_starts_without_a_server_uses_the_bundle_that_it_fetched(line, tmp_path):
    Image.new("RGB", (40, 32), "red").save(tmp_path / "red.png")
    cache = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    def records(address, *options):
        command = [
            sys.executable, "-m", "narrows", "edge", str(tmp_path / "red.png"), "--server", address,
            "--spool", str(tmp_path / "spool"), "--give-up-seconds", "1", "--json", *options,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, env=cache, check=False)
        return [json.loads(text) for text in done.stdout.splitlines()], done

    nothing, failed = records("127.0.0.1:9")
    assert (nothing, failed.returncode) == ([], 2)  # no bundle to begin with
    records(line.address, "--give-up-seconds", str(PATIENCE_S))
    (alone, summary), _ = records("127.0.0.1:9", "--deadline-ms", "300")
    assert (alone["status"], alone["kept"]) == ("KEPT", True)
    assert summary["summary"]["spool"]["left"] == 1
    *later, summary = records(line.address, "--give-up-seconds", str(PATIENCE_S))[0]
    assert {(record["status"], record["spooled"]) for record in later} == {
        ("OK", True),
        ("OK", False),
    }
