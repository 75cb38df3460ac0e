"""A cluster of two nodes (two raylets of this machine), one of which is killed under load."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from PIL import Image
from serving import PATIENT, process, replicas_of

ray = pytest.importorskip("ray", reason="needs the server extra")

from ray.cluster_utils import Cluster

from narrows.server.placement import at_hand, place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FRAMES = 300


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    started = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
    )
    try:
        yield started
    finally:
        ray.shutdown()
        started.shutdown()


def test_a_killed_node_loses_no_frame_and_its_replicas_come_back_elsewhere(
    cluster, tiny_bundle, tmp_path
):
    doomed = cluster.add_node(num_cpus=2)
    Image.new("RGB", (40, 32), "red").save(tmp_path / "red.png")
    command = ("serve", str(tiny_bundle), "--executor", "ray", "--ray-address", cluster.address)
    command += ("--port", "0", "--console", "0", "--threads", "1", "--json")
    with process(*command) as started:
        server = json.loads(started.stdout.readline())
        edge = ("edge", "-", "--server", server["address"], "--bundle", str(tiny_bundle), *PATIENT)
        with process(*edge) as device, process(*edge) as another:
            for each in (device, another):
                each.stdin.write(f"{tmp_path / 'red.png'}\n" * FRAMES)
                each.stdin.flush()
            first = [json.loads(device.stdout.readline()) for _ in range(20)]
            kill_node(cluster, doomed)
            for each in (device, another):
                each.stdin.close()
            *records, summary = first + [json.loads(line) for line in device.stdout]
            *others, other = [json.loads(line) for line in another.stdout]
        for told, found in ((records, summary), (others, other)):
            assert sorted(r["frame_id"] for r in told) == list(range(1, FRAMES + 1))
            assert {r["status"] for r in told} == {"OK"}
            assert found["summary"]["lost"] == found["summary"]["failed"] == 0
        (dead,) = [pid for pid in server["replicas"] if not running(pid)]
        serving = replicas_of(server["console"], without=dead)
    assert len(serving) == 2
    assert set(server["replicas"]) - {dead} < serving


def running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def kill_node(cluster: Cluster, node) -> None:
    """All of its processes at once, as when a machine loses its power."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    workers = raylet.children(recursive=True)
    cluster.remove_node(node, allow_graceful=False)
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):  # those that see their raylet gone end
            worker.kill()
    psutil.wait_procs(workers, timeout=60)


def test_replicas_of_a_node_without_the_folder_get_it_once(cluster, tiny_bundle, tmp_path):
    ray.init(address=cluster.address, log_to_driver=False)
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (bundle,) = place([folder], far=True)
    assert at_hand(bundle, tmp_path / "cache") == folder
    shutil.rmtree(folder)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: at_hand(bundle, tmp_path / "cache"), range(8)))
    (copy,) = found
    born = os.stat(copy).st_ctime_ns
    assert {p.name for p in copy.iterdir()} == {p.name for p in tiny_bundle.iterdir()}
    assert all((copy / p.name).read_bytes() == p.read_bytes() for p in tiny_bundle.iterdir())
    assert at_hand(bundle, tmp_path / "cache") == copy
    assert os.stat(copy).st_ctime_ns == born
    (copy / "tail.safetensors").write_bytes(b"damaged")
    assert at_hand(bundle, tmp_path / "cache") == copy
    tail = (copy / "tail.safetensors").read_bytes()
    assert tail == (tiny_bundle / "tail.safetensors").read_bytes()
