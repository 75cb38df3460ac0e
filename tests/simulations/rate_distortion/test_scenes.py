"""`narrows bench rd --task` on a tiny bundle: every task, every way, one accounting."""

import json

import pytest

pytest.importorskip("torch", reason="needs the server extra")

from annotated import write_set
from bundles import write_tiny_bundle

from narrows.errors import ConfigError
from narrows.simulations.rate_distortion.scenes import SceneBenchmark, run_scene_bench

TASKS = {"detection": ("red", "green"), "segmentation": ("background", "red", "green")}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    write_tiny_bundle(root / "scene", "tiny-scene", tasks=TASKS)
    return write_set(root / "set"), root / "scene"


def asked(places, **changes) -> SceneBenchmark:
    data, bundle = places
    methods = ("ours", "jpeg", f"device:{bundle}", str(bundle))
    fields = {"data": (data,), "bundle": bundle, "task": "all", "methods": methods, "limit": 3}
    return SceneBenchmark(**(fields | changes))


def test_every_task_is_told_for_every_way(places, capsys, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the server extra")
    run_scene_bench(asked(places), True, tmp_path / "scene.png")
    found = json.loads(capsys.readouterr().out)
    assert found["frames"] == 3
    assert set(found["tasks"]) == set(TASKS)  # its classes are others than the set's
    for figures in found["tasks"].values():
        methods = figures["methods"]
        assert {len(methods[m]) for m in ("ours", str(places[1]))} == {3}
        (alone,) = methods[f"device:{places[1]}"]
        assert alone["score"] == figures["unsplit_score"]
        assert alone["macs"] > methods["ours"][0]["macs"]
        for row in methods["ours"] + methods["jpeg"]:
            assert set(row) == {"score", "bytes", "device_ms", "macs"}
            assert 0 <= row["score"] <= 1
            assert row["device_ms"] > 0
        same = [row["bytes"] for row in methods[str(places[1])]]
        assert same == [row["bytes"] for row in methods["ours"]]
        assert set(figures["bytes_ratio_at"]) == {"-1", "-3"}
    assert (tmp_path / "scene.png").read_bytes().startswith(b"\x89PNG")


def test_one_task_has_the_classifications_keys(places, capsys):
    run_scene_bench(asked(places, task="segmentation", methods=("ours", "jpeg")), True, None)
    found = json.loads(capsys.readouterr().out)
    assert {"unsplit_score", "methods", "bytes_ratio_at", "metric"} <= set(found)
    run_scene_bench(asked(places, task="detection", methods=("ours", "jpeg")), False, None)
    assert "detection: 3 photographs" in capsys.readouterr().out


def test_another_task_is_a_users_error(places):
    with pytest.raises(ConfigError, match="expected classification, detection, segmentation"):
        run_scene_bench(asked(places, task="depth"), True, None)
    with pytest.raises(ConfigError, match="expected ours among them"):
        run_scene_bench(asked(places, methods=("jpeg",)), True, None)
