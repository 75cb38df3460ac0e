"""Device processes of benches: what each tells comes as it comes, failures with a reason."""

import threading

import pytest

pytest.importorskip("torch", reason="needs the server extra")

from PIL import Image
from serving import PATIENT, serving

from narrows.errors import LinkError
from narrows.simulations.demo.devices import run_devices


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        Image.new("RGB", (40, 32)).save(path)
    return paths


@pytest.fixture(scope="module")
def arguments(tiny_bundle):
    with serving(tiny_bundle) as (_, address):
        yield ["--server", address, "--bundle", str(tiny_bundle), *PATIENT[:2]]


def test_every_frame_is_told_of_once_by_the_device_that_had_it(arguments, pictures):
    told, lock = [], threading.Lock()

    def on_record(record):
        with lock:
            told.append((record["device"], record["name"]))

    fleet = run_devices(arguments, pictures, 2, on_record=on_record)
    assert sorted(told) == sorted((i % 2, str(path)) for i, path in enumerate(pictures))
    assert sorted(told) == sorted((r["device"], r["name"]) for r in fleet.records)
    assert len(fleet.summaries) == 2
    assert fleet.lost == fleet.errors == 0


def test_more_paths_than_a_pipe_holds_reach_a_device(arguments, tmp_path):
    absent = [tmp_path / f"{number:060}.png" for number in range(2000)]
    fleet = run_devices(arguments, absent, 1)
    assert fleet.summaries[0]["skipped"] == 2000


def test_a_device_that_fails_says_why(pictures):
    with pytest.raises(LinkError, match=r"code 2: .*nowhere"):
        run_devices(["--bundle", "./nowhere"], pictures, 2)
