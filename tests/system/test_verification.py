"""A replica's memory goes wrong while it serves: the others outvote it and it answers no more."""

import io
import json
import os
import select
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from serving import PATIENT, process

pytest.importorskip("ray", reason="needs the server extra")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def spoil_weights(pid: int, bundle: Path) -> int:
    """Change the tail's last matrix wherever that process holds it; how often it was found."""
    weights = load_file(bundle / "tail.safetensors")
    last = [w for w in weights.values() if w.ndim == 2][-1].astype(np.float32)
    wrong = (-1e9 * last).tobytes()  # an untrained network hardly tells pictures apart
    found = 0
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for place, mode, *_ in (line.split() for line in maps):
            start, end = (int(part, 16) for part in place.split("-"))
            held = _read(memory, start, end) if mode.startswith("rw") else b""
            offset = held.find(last.tobytes())
            while offset >= 0:
                memory.seek(start + offset)
                memory.write(wrong)
                found += 1
                offset = held.find(last.tobytes(), offset + 1)
    return found


def _read(memory: io.FileIO, start: int, end: int) -> bytes:
    try:
        memory.seek(start)
        return memory.read(end - start)
    except OSError:  # a region that was let go, or is none of memory
        return b""


def test_a_replica_whose_memory_went_wrong_is_quarantined(tiny_bundle, tmp_path):
    for hue in range(4):
        Image.new("HSV", (40, 32), (60 * hue, 255, 255)).convert("RGB").save(
            tmp_path / f"{hue}.png"
        )
    command = ("serve", str(tiny_bundle), "--executor", "ray", "--port", "0", "--console", "0")
    verify = ("--replicas", "3", "--verify", "2", "--verify-share", "1", "--threads", "1")
    with process(*command, *verify, "--json") as started:
        server = json.loads(started.stdout.readline())
        victim = server["replicas"][0]
        end = select.poll()
        end.register(os.pidfd_open(victim), select.POLLIN)
        if not os.access(f"/proc/{victim}/mem", os.W_OK):
            pytest.skip("needs the right to write another process's memory")
        arguments = ["edge", "-", "--server", server["address"], "--bundle", str(tiny_bundle)]
        statuses, before = [], figures(server)
        assert "narrows_replica_quarantined_total" not in before
        assert spoil_weights(victim, tiny_bundle) > 0
        while not figures(server).get("narrows_replica_quarantined_total"):
            with process(*arguments, *PATIENT) as device:  # its stream may go to any of the three
                device.stdin.write("".join(f"{tmp_path / f'{i % 4}.png'}\n" for i in range(40)))
                device.stdin.close()
                *records, summary = map(json.loads, device.stdout)
            statuses += [record["status"] for record in records]
            assert summary["summary"]["lost"] == 0
        assert set(statuses) == {"OK"}
        assert end.poll(120_000)  # counted first, then killed
        now = figures(server)
    assert now["narrows_replica_quarantined_total"] == 1
    assert now["narrows_answers_checked_total"] > 0


def figures(server: dict) -> dict[str, float]:
    """The director's counters by name, from the console's page for Prometheus."""
    with urlopen(server["console"] + "metrics") as page:
        lines = page.read().decode().splitlines()
    own = [line for line in lines if 'replica="director"' in line]
    return {line.split("{")[0]: float(line.split()[-1]) for line in own}
