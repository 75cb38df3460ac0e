"""A device with a policy over a real link that breaks: every frame is answered, and says by whom.

How many the server answers in time is the machine's matter and is not asserted: races in virtual
time (tests/simulations/links) say what the policy is worth.
"""

import json
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the server extra")

from bundles import calibrated
from PIL import Image
from serving import PATIENCE_S, serving

FRAMES = 40
# Two seconds that carry all, four that carry nothing; every deadline of 1.5 s meets both.
BREAKS = "seconds,kbit/s,ms\n0,10000,5\n2,0,5\n4,0,5\n"


@pytest.fixture(scope="module")
def bundle(tiny_bundle, tmp_path_factory):
    return calibrated(tiny_bundle, tmp_path_factory.mktemp("policy") / "bundle")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(FRAMES):
        pixels = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder


@contextmanager
def relaying(target, link):
    command = [sys.executable, "-m", "narrows.simulations.links.relay", target, str(link), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()


def device(pictures, address, bundle, *options):
    """Records of every frame, and the summary."""
    command = [
        sys.executable, "-m", "narrows", "edge", str(pictures), "--server", address, "--bundle",
        str(bundle), "--fps", "5", "--deadline-ms", "1500", "--json", *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout, done.stderr
    *frames, summary = (json.loads(line) for line in done.stdout.splitlines())
    return frames, summary["summary"]


def test_the_policy_answers_every_frame_where_a_fixed_point_misses_some(bundle, pictures, tmp_path):
    (tmp_path / "breaks.csv").write_text(BREAKS)
    with serving(bundle) as (_, target), relaying(target, tmp_path / "breaks.csv") as address:
        _, fixed = device(pictures, address, bundle, "--point", "0")
        frames, steered = device(pictures, address, bundle, "--policy")
    assert fixed["answered"] < FRAMES
    assert steered["answered"] == FRAMES == len(frames)
    assert steered["local"] > 0  # nothing comes through an outage longer than a deadline
    for frame in frames:
        assert frame["decision"]["why"] in {"best", "link", "probe", "refused"}
        assert (frame["answered_by"] == "local") or frame["decision"]["why"] in {"best", "probe"}


def test_a_server_that_was_never_there_ends_nothing(bundle, pictures):
    frames, summary = device(pictures, "127.0.0.1:9", bundle, "--policy")
    assert summary["answered"] == summary["local"] == FRAMES
    assert not summary["error"]
    assert {frame["answered_by"] for frame in frames} == {"local"}


def test_what_was_answered_here_for_want_of_a_link_is_answered_by_the_server_later(
    bundle, pictures, tmp_path
):
    spool = ("--policy", "--fps", "40", "--spool", str(tmp_path / "spool"))
    frames, summary = device(pictures, "127.0.0.1:9", bundle, *spool)
    assert summary["answered"] == summary["local"] == FRAMES == len(frames)
    assert {frame["kept"] for frame in frames} == {True}
    assert summary["spool"]["kept"] == summary["spool"]["left"] == FRAMES
    with serving(bundle) as (_, address):
        later, summary = device(pictures, address, bundle, *spool, "--limit", "1")
    spooled = [frame for frame in later if frame["spooled"]]
    assert [frame["name"] for frame in spooled[:FRAMES]] == [frame["name"] for frame in frames]
    assert {(f["status"], f["answered_by"] == "local") for f in spooled} == {("OK", False)}
    assert summary["spool"]["left"] == 0
