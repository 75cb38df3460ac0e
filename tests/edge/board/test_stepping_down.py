"""`narrows edge` on a board that gets hot and cools down: real processes, and a real server."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import made_up_board
import pytest
from made_up_board import put_cooling, put_zone

pytest.importorskip("torch", reason="needs the server extra")

from bundles import calibrated
from PIL import Image
from serving import PATIENT, serving


@pytest.fixture(scope="module")
def bundle(tiny_bundle, tmp_path_factory):
    return calibrated(tiny_bundle, tmp_path_factory.mktemp("bundles") / "calibrated")


@pytest.fixture(scope="module")
def server(bundle):
    with serving(bundle) as (_, address):
        yield address


@pytest.fixture
def tree(tmp_path) -> Path:
    """A board that is cool."""
    put_zone(tmp_path / "thermal", 50)
    put_cooling(tmp_path / "thermal", "cpufreq-cpu0", 0)
    return tmp_path / "thermal"


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "picture.png"
    Image.new("RGB", (40, 33), (60, 0, 0)).save(path)
    return path


@contextmanager
def edge(tree, source, server, bundle, *options):
    command = [sys.executable, made_up_board.__file__, tree, "edge", source, "--server", server]
    pipe, told = subprocess.PIPE, ("--bundle", bundle, *PATIENT, *options)
    with subprocess.Popen(
        [*command, *told], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        yield process


def answers(process, picture: Path, frames: int = 3) -> list[dict]:
    """Of so many more frames."""
    process.stdin.write(f"{picture}\n" * frames)
    process.stdin.flush()
    return [json.loads(process.stdout.readline()) for _ in range(frames)]


def wait_for(process, said: str) -> None:
    assert any(said in line for line in process.stderr)


@pytest.mark.parametrize("options", [(), ("--policy",)])
def test_it_steps_down_and_comes_back_and_no_frame_is_lost(server, tree, picture, bundle, options):
    with edge(tree, "-", server, bundle, "--fps", "50", *options) as process:
        records = answers(process, picture)
        assert [r["one_in"] for r in records] == [1, 1, 1]
        put_zone(tree, 88)
        put_cooling(tree, "cpufreq-cpu0", 2)
        wait_for(process, "88 C, cpufreq-cpu0: 1 frame in 8 from now on")
        records = answers(process, picture)
        assert [r["one_in"] for r in records] == [8, 8, 8]
        put_zone(tree, 50)
        put_cooling(tree, "cpufreq-cpu0", 0)
        wait_for(process, "50 C: every frame from now on")
        records = answers(process, picture)
        assert {(r["one_in"], r["status"]) for r in records} == {(1, "OK")}
        process.stdin.close()
        summary = json.loads(process.stdout.readlines()[-1])["summary"]
    assert summary["frames"] == summary["answered"] == 9
    assert [step["one_in"] for step in summary["heat"]["steps"]] == [2, 4, 8, 4, 2, 1]
    assert summary["heat"]["steps"][0]["held_back"] == ["cpufreq-cpu0"]
    assert summary["heat"]["throttled_s"] > 0
    assert process.returncode == 0


def test_pictures_without_a_rate_are_not_slowed_down(server, tree, picture, bundle):
    put_cooling(tree, "cpufreq-cpu0", 2)
    with edge(tree, picture, server, bundle) as process:
        out, err = process.communicate()
    summary = json.loads(out.splitlines()[-1])["summary"]
    assert (summary["answered"], summary["heat"], err) == (1, None, "")
