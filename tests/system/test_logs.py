"""The log of a server's processes: JSON on stderr, and in Ray's files where replicas are actors."""

import asyncio
import json
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import grpc
import pytest

pytest.importorskip("torch", reason="needs the server extra")

from narrows.protos.narrows.v1 import inference_pb2, inference_pb2_grpc
from narrows.server.framelog import LINES_PER_SECOND

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FRAMES = 100


async def send_nonsense(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        for number in range(FRAMES):
            await stub.Infer(inference_pb2.Frame(frame_id=number, packet=b"nonsense"))


def stderr_of_a_server(bundle: Path, *options: str) -> str:
    command = [sys.executable, "-m", "narrows", "serve", str(bundle), "--port", "0", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, "--log", "json", *options], stdout=pipe, stderr=pipe, text=True
    ) as server:
        try:
            address = json.loads(server.stdout.readline())["address"]
            asyncio.run(send_nonsense(address))
        finally:
            server.terminate()
        return server.communicate(timeout=120)[1]


def refusals(text: str) -> list[dict]:
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("status") == "MALFORMED"]


def few(found: list[dict]) -> bool:
    """Whether no second has more of them than it may, by their own clock."""
    first, last = (datetime.fromisoformat(found[i]["time"].rstrip("Z")) for i in (0, -1))
    seconds = (last - first).total_seconds() + 2  # parts of two more
    return len(found) <= LINES_PER_SECOND * seconds


def test_every_line_is_json_and_a_bad_device_fills_no_disk(tiny_bundle):
    text = stderr_of_a_server(tiny_bundle)
    assert all(json.loads(line) for line in text.splitlines())
    found = refusals(text)
    assert few(found)
    assert found[0]["frame_id"] == 0
    assert found[0]["logger"] == "narrows.server.framelog"
    assert {"time", "level", "message", "device", "status"} <= set(found[0])


def test_a_replica_on_ray_logs_likewise(tiny_bundle, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # sockets in it: a short name
        monkeypatch.setenv("RAY_TMPDIR", folder)
        stderr_of_a_server(tiny_bundle, "--executor", "ray", "--replicas", "1")
        logs = Path(folder).glob("ray/session_*/logs/worker-*.err")
        found = [line for path in logs for line in refusals(path.read_text())]
    assert few(found)
    assert found[0]["frame_id"] == 0
