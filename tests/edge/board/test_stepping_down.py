"""`narrows edge` on a board that gets hot and cools down: real processes, and a real server."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import made_up_board
import pytest
from made_up_board import put_cooling, put_zone

pytest.importorskip("torch", reason="needs the server extra")

from bundles import calibrated
from PIL import Image
from serving import PATIENT, serving

from narrows.codec.manifest import Manifest
from narrows.edge.board.watch import HeatWatch
from narrows.edge.encoder import load_feature_encoder
from narrows.edge.policy.cooling import FEWEST, Cooling
from narrows.edge.policy.menu import menu_of
from narrows.edge.policy.policy import DeadlinePolicy
from narrows.edge.run import DeviceSettings
from narrows.edge.source import SourceFrame
from narrows.edge.steer import Steer
from narrows.edge.steered import run_steered


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
    with edge(tree, "-", server, bundle, "--fps", "20", *options) as process:
        records = answers(process, picture)
        assert [r["one_in"] for r in records] == [1, 1, 1]
        put_zone(tree, 88)
        put_cooling(tree, "cpufreq-cpu0", 2)
        wait_for(process, "88 C, cpufreq-cpu0: 1 frame in 8 from now on")
        began_s = monotonic()
        records = answers(process, picture)
        assert [r["one_in"] for r in records] == [8, 8, 8]
        assert monotonic() - began_s > 0.9 * 8 / 20  # from the second to the third alone
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


class Noting(DeadlinePolicy):
    """Remembers how few frames it was told are taken."""

    def __init__(self, menu):
        super().__init__(menu, 100.0)
        self.told = [1]

    def choose(self, moment):
        self.told.append(moment.one_in)
        return super().choose(moment)


def test_a_policy_is_told_that_frames_are_fewer(server, tree, bundle):
    put_cooling(tree, "cpufreq-cpu0", 2)
    manifest = Manifest.load(bundle)
    policy = Noting(menu_of(manifest))
    steer = Steer(load_feature_encoder(bundle, manifest), {}, None, policy, manifest.labels)

    def frames():
        for number in range(5000):  # far more than it takes meanwhile
            if policy.told[-1] == FEWEST:
                return
            yield SourceFrame(f"{number}", Image.new("RGB", (40, 33)))

    heat = HeatWatch(made_up_board.places(tree), Cooling(0.0, 0.0), every_s=0.05)
    settings = DeviceSettings(server, digest=manifest.digest, fps=500.0)
    run_steered(frames(), steer, settings, lambda record: None, heat=heat)
    assert policy.told == sorted(policy.told)
    assert policy.told[-1] == FEWEST
