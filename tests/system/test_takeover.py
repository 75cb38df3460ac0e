"""Whole processes over real sockets: a replica is killed, nothing is lost."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("ray", reason="needs the server extra")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FRAMES = 400


@contextmanager
def process(*arguments: str, **options) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", "narrows", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, **options) as started:
        try:
            yield started
        finally:
            started.terminate()


@pytest.fixture(scope="module")
def server(tiny_bundle) -> Iterator[dict]:
    with process(
        "serve", str(tiny_bundle), "--executor", "ray", "--port", "0", "--json"
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
    arguments = ["edge", "-", "--server", server["address"], "--bundle", str(tiny_bundle)]
    with process(*arguments, *coding, "--json") as device:
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
            assert device.wait() == 2  # its server went for good, and it said so
        assert server.wait() == 0
    summary = records.pop()["summary"]
    assert summary["answered"] >= 20
    assert summary["answered"] + summary["failed"] == summary["frames"] == len(records)
    assert {r["status"] for r in records} <= {"OK", "LINK", "CLOSED", "DEADLINE"}
