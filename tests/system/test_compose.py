"""docker-compose.yml: images built, eight devices behind links, a worker's container killed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from vertical_processes import until

ROOT = Path(__file__).parents[2]
DEVICES, FRAMES = 8, 40
MEGABYTES = 250  # of the device's image, at most
SETTINGS = {"FRAMES": str(FRAMES), "COMPOSE_PROJECT_NAME": f"narrows-test-{os.getpid()}"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def docker(*command: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def compose(*command: str) -> str:
    """docker-compose 1.29, or `docker compose` where that is there."""
    alone = shutil.which("docker-compose")
    tool = [alone] if alone else ["docker", "compose"]
    done = subprocess.run(
        [*tool, *command], cwd=ROOT, env=os.environ | SETTINGS, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}: {(done.stdout + done.stderr)[-4000:]}"
    return done.stdout


def containers(service: str) -> list[str]:
    return compose("ps", "-q", service).split()


def state(container: str, of: str) -> str:
    return docker("inspect", "--format", f"{{{{.State.{of}}}}}", container).strip()


def lines(container: str) -> list[dict]:
    """JSON lines that it has printed so far."""
    told = docker("logs", container).splitlines()
    return [json.loads(line) for line in told if line.startswith("{") and line.endswith("}")]


@pytest.fixture(scope="module")
def engine() -> Iterator[None]:
    asked = ["docker", "info"]
    if shutil.which("docker") is None or subprocess.run(asked, capture_output=True).returncode:
        pytest.skip("no Docker engine answers")
    compose("build")
    try:
        yield
    finally:
        compose("--profile", "vertical", "down", "--volumes", "--timeout", "5")


def test_the_devices_image_is_small_runs_as_nobody_and_has_no_torch(engine):
    told = json.loads(docker("image", "inspect", "narrows-edge"))[0]
    assert told["Size"] < MEGABYTES * 1_000_000
    assert told["Config"]["User"] not in ("", "0", "root")
    code = "import importlib.util as u; print([n for n in ('torch', 'ray') if u.find_spec(n)])"
    assert docker("run", "--rm", "--entrypoint", "python3", "narrows-edge", "-c", code) == "[]\n"
    checks = json.loads(docker("run", "--rm", "narrows-edge", "doctor", "--json"))
    (kernels,) = [check for check in checks["checks"] if check["name"] == "kernels"]
    assert kernels["ok"]


def test_a_killed_worker_loses_no_frame_of_eight_devices(engine):
    compose("up", "-d", "--scale", f"edge={DEVICES}", "edge")
    devices = containers("edge")
    assert len(devices) == DEVICES
    until(lambda: all(len(lines(d)) >= 5 for d in devices), "answers of every device")
    until(lambda: all(state(d, "Health.Status") == "healthy" for d in devices), "healthy devices")
    doomed, other = containers("worker")
    docker("kill", doomed)
    codes = [docker("wait", device).strip() for device in devices]
    assert codes == ["0"] * DEVICES
    reconnects = 0
    for device in devices:
        *records, summary, link = lines(device)
        assert sorted(r["frame_id"] for r in records) == list(range(1, FRAMES + 1))
        assert {r["status"] for r in records} == {"OK"}
        found = summary["summary"]
        assert (found["frames"], found["answered"], found["lost"]) == (FRAMES, FRAMES, 0)
        assert link["carried_bytes"]["up"] > sum(r["packet_bytes"] for r in records)
        reconnects += found["reconnects"]
    assert reconnects > 0  # those of the killed one went to the other
    assert state(other, "Status") == "running"
    links = {lines(device)[-1]["link"] for device in devices}
    assert len(links) > 1


SCENARIO = """
name = "mended"
seconds = 15
deadline_ms = 20000
ways = ["fixed:2"]
[server]
replicas = 2
[classes.camera]
devices = 2
fps = 2
link = "lte"
cpu_share = 0.5
[classes.gateway]
devices = 1
fps = 2
link = "50mbit,5ms"
[[faults]]
kind = "link"
devices = "camera"
at_s = 4
for_s = 1
[[faults]]
kind = "killed"
replica = 1
at_s = 8
for_s = 5
"""


def test_a_scenario_in_containers_with_an_outage_and_a_killed_worker(engine, tmp_path):
    (tmp_path / "mended.toml").write_text(SCENARIO)
    command = [sys.executable, "-m", "narrows", "simulate", str(tmp_path / "mended.toml")]
    command += ["--in", "containers", "--runs", str(tmp_path / "runs"), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["frames"] == result["answered"] == 3 * 30
    assert result["ways"]["fixed:2"]["bytes_per_frame"] > 0


def test_parties_in_containers_learn_together(engine):
    compose("--profile", "vertical", "up", "-d", "coordinator", "party")
    (coordinator,) = containers("coordinator")
    assert docker("wait", coordinator).strip() == "0"
    result = lines(coordinator)[-1]
    assert result["rounds"] > 0
    assert all(party["answered"] for party in result["parties_by_name"])
