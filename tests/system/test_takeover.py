"""Whole processes over real sockets: a replica is killed, nothing is lost."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image
from serving import PATIENCE_S, PATIENT, process, replicas_of

pytest.importorskip("ray", reason="needs the server extra")

from narrows.edge.link import LinkSettings
from narrows.edge.session import Session
from narrows.server.scaling import CROWD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FRAMES = 400


@pytest.fixture(scope="module")
def server(tiny_bundle) -> Iterator[dict]:
    with process(
        "serve", str(tiny_bundle), "--executor", "ray", "--port", "0", "--console", "0", "--json"
    ) as started:
        yield json.loads(started.stdout.readline())


@pytest.fixture
def photograph(tmp_path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (40, 32), "red").save(path)
    return path


def test_two_replicas_answer_behind_one_port(server):
    assert len(set(server["replicas"])) == 2
    assert server["executor"] == "ray"


@pytest.mark.parametrize("coding", [("--point", "all"), ("--video",)], ids=["points", "video"])
def test_a_killed_replica_loses_no_frame_and_answers_none_twice(
    server, photograph, tiny_bundle, coding
):
    replicas_of(server["console"], without=0)  # two: an earlier test killed one
    arguments = ["edge", "-", "--server", server["address"], "--bundle", str(tiny_bundle)]
    with process(*arguments, *coding, *PATIENT) as device:
        device.stdin.write(f"{photograph}\n" * FRAMES)
        device.stdin.close()
        records, killed = [], None
        for line in device.stdout:
            record = json.loads(line)
            records.append(record)
            if len(records) == 50:
                killed = int(record["answered_by"].split("/")[1])
                assert killed != os.getpid()  # maybe a replica that took an earlier one's place
                os.kill(killed, signal.SIGKILL)
    summary = records.pop()["summary"]
    assert sorted(r["frame_id"] for r in records) == list(range(1, FRAMES + 1))
    assert all(r["status"] == "OK" for r in records)
    assert summary["lost"] == summary["failed"] == 0
    assert summary["reconnects"] >= 1
    assert len({r["answered_by"] for r in records}) >= 2


def test_a_frozen_replica_is_replaced_and_the_other_serves_on(server):
    victim, other = replicas_of(server["console"], without=0)
    os.kill(victim, signal.SIGSTOP)
    assert other in replicas_of(server["console"], without=victim)


def test_without_a_director_streams_go_on_and_the_next_one_takes_over(
    server, photograph, tiny_bundle
):
    before = replicas_of(server["console"], without=0)
    arguments = ["edge", "-", "--server", server["address"], "--bundle", str(tiny_bundle)]
    with process(*arguments, *PATIENT) as device:
        device.stdin.write(f"{photograph}\n" * FRAMES)
        device.stdin.close()
        records = []
        for line in device.stdout:
            records.append(json.loads(line))
            if len(records) == 50:
                os.kill(server["director"], signal.SIGKILL)
    summary = records.pop()["summary"]
    assert all(r["status"] == "OK" for r in records)
    assert len(records) == FRAMES
    assert summary["reconnects"] == 0
    victim, other = before
    os.kill(victim, signal.SIGKILL)
    assert other in replicas_of(server["console"], without=victim)


ORPHAN = """
import asyncio, sys
from pathlib import Path
from narrows.server import actor
from narrows.server.placement import place
from narrows.server.settings import ServerSettings
actor.LEASE_SECONDS, actor.LOOK_SECONDS = 0.5, 0.1
actor._node = lambda: "here"  # it is in no cluster

async def run():
    folders = (Path(sys.argv[1]),)
    await actor.ReplicaActor().start(ServerSettings(folders, threads=1), place(folders, far=False))
    print("serving", flush=True)
    await asyncio.Event().wait()

asyncio.run(run())
"""


def test_a_replica_that_hears_of_no_director_drains_and_ends(tiny_bundle):
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(tiny_bundle)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "serving\n"
    assert "no director" in done.stderr


def test_sigterm_answers_accepted_frames_and_ends_cleanly(tiny_bundle, photograph):
    with process("serve", str(tiny_bundle), "--port", "0", "--json") as server:
        address = json.loads(server.stdout.readline())["address"]
        arguments = ["edge", "-", "--server", address, "--bundle", str(tiny_bundle), "--json"]
        with process(*arguments, "--give-up-seconds", "1") as device:
            device.stdin.write(f"{photograph}\n" * FRAMES)
            device.stdin.close()
            records = [json.loads(device.stdout.readline()) for _ in range(20)]
            server.terminate()
            records += [json.loads(line) for line in device.stdout]
            assert device.wait(PATIENCE_S) == 2  # its server went for good, and it said so
        assert server.wait(PATIENCE_S) == 0
    summary = records.pop()["summary"]
    assert summary["answered"] >= 20
    assert summary["answered"] + summary["failed"] == summary["frames"] == len(records)
    assert {r["status"] for r in records} <= {"OK", "LINK", "CLOSED", "DEADLINE"}


def test_streams_spread_over_the_replicas_whoever_the_kernel_gave_them_to(tiny_bundle):
    command = ("serve", str(tiny_bundle), "--executor", "ray", "--port", "0", "--console", "0")
    with process(*command, "--replicas", "3", "--threads", "1", "--json") as started:
        server = json.loads(started.stdout.readline())

        async def spread() -> None:
            async with contextlib.AsyncExitStack() as devices:
                for _ in range(8):
                    session = Session(server["address"], LinkSettings(), "tiny")
                    await devices.enter_async_context(session)
                counts = []
                while sum(counts) < 8 or max(counts) - min(counts) >= CROWD:
                    await asyncio.sleep(0.2)
                    counts = await asyncio.to_thread(streams_of, server["console"])

        asyncio.run(asyncio.wait_for(spread(), 120))


def streams_of(console: str) -> list[int]:
    with urlopen(f"{console}figures.json") as response:
        return [int(replica["streams"]) for replica in json.load(response)["replicas"]]
