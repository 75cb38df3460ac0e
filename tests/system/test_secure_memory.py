"""A real simulation with secure aggregation: the server's memory and logs hold no single update."""

import io
import os
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr", reason="Flower has no release for this Python")
pytest.importorskip("ray", reason="needs the server extra")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

import secure_simulation
from secure_simulation import CLIENTS, FAILING, ROUNDS, initial, update_of

PLACE = slice(9000, 9064)  # of a vector: 64 to 512 bytes


def bytes_in_memory(pid: int, needles: dict[str, bytes]) -> set[str]:
    """Which of these bytes that process holds anywhere."""
    found: set[str] = set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, mode, *rest = line.split()
            start, end = (int(part, 16) for part in place.split("-"))
            code = len(rest) == 4 and rest[3].endswith((".so", ".whl")) and "w" not in mode
            if mode.startswith("r") and not code and rest[-1] not in ("[vvar]", "[vsyscall]"):
                held = _read(memory, start, end)
                if held.count(0) < len(held):
                    found |= {name for name, needle in needles.items() if needle in held}
    return found


def _read(memory: io.FileIO, start: int, end: int) -> bytes:
    try:
        memory.seek(start)
        parts = []
        while start < end and (part := memory.read(end - start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)
    except OSError:  # a region that was let go, or is none of memory
        return b""


def single_updates(folder: Path) -> dict[str, bytes]:
    """All that would give a client's update away: as numbers with a point, and as integers."""
    needles = {}
    for number in range(1, ROUNDS + 1):
        for client in range(CLIENTS):
            numbers = update_of(client, number)
            integers = np.load(folder / f"{client}-{number}.npy")
            kinds = {"update": numbers, "update64": numbers.astype(np.float64)}
            if number == 1:
                kinds["weights"] = initial() + numbers
            for kind in (np.int8, np.int32, np.int64, np.float64):
                kinds[f"integers {kind.__name__}"] = integers.astype(kind)
            for kind, values in kinds.items():
                needles[f"{client} {number} {kind}"] = values[PLACE].tobytes()
    return needles


def test_the_servers_memory_and_logs_hold_no_single_update(tmp_path):
    environment = os.environ | {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_HOME": str(tmp_path / "flwr"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, secure_simulation.__file__, str(tmp_path)]
    with open(tmp_path / "log", "wb") as log, subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
    ) as server:  # fmt: skip
        assert server.stdin
        assert server.stdout
        printed, held = [], 0
        try:
            for line in server.stdout:
                printed.append(line.decode().strip())
                held += printed[-1] == "held"
                if held == ROUNDS and printed[-1] in ("held", "done"):
                    assert not bytes_in_memory(server.pid, single_updates(tmp_path))
                if printed[-1] == "done":
                    final = np.load(tmp_path / "final.npy")  # what the server does hold is found
                    control = {"final": final[PLACE].tobytes()}
                    assert bytes_in_memory(server.pid, control) == {"final"}
                if printed[-1] in ("held", "done"):
                    server.stdin.write(b"\n")
                    server.stdin.flush()
            assert server.wait(120) == 0, (tmp_path / "log").read_text()[-3000:]
        finally:
            server.kill()
    assert held == ROUNDS
    assert f"[({CLIENTS}, ''), ({CLIENTS - 1}, '')]" in printed
    drops = "this client falls over"
    logs = (tmp_path / "log").read_text() + "\n".join(printed)
    assert drops in logs
    for client in range(CLIENTS):
        for number in update_of(client, FAILING[1])[40:72]:
            assert f"{number:.5f}".rstrip("0")[:7] not in logs


def test_the_search_finds_what_is_there():
    secret = np.random.default_rng(5).bytes(64)
    code = "import sys; a = sys.stdin.buffer.read(64); print(flush=True); sys.stdin.buffer.read(1)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        holder.stdin.write(secret)
        holder.stdin.flush()
        ready, _, _ = select.select([holder.stdout], [], [], 60)
        assert ready
        assert bytes_in_memory(holder.pid, {"it": secret, "else": secret[::-1]}) == {"it"}
        holder.stdin.close()
