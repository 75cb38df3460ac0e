import json

import pytest

pytest.importorskip("torch", reason="needs the server extra")

from annotated import write_set
from bundles import write_tiny_bundle

from narrows.errors import ConfigError
from narrows.simulations.bench.branch import run_branch_bench

ANSWERS = [
    "classification",
    "classification, detection",
    "classification, detection, segmentation",
]


def test_the_earlier_a_branch_the_more_the_server_holds_and_runs(capsys):
    run_branch_bench("scene", [], [], None, True)
    rows = json.loads(capsys.readouterr().out)["branches"]
    assert [row["branch"] for row in rows] == [
        {"detection": b, "segmentation": b} for b in (1, 2, 3)
    ]
    weights = [row["parameters"] for row in rows]
    assert weights == sorted(weights, reverse=True)
    for row in rows:
        assert list(row["macs"]) == ANSWERS
        assert sorted(row["macs"].values()) == list(row["macs"].values())
        assert min(row["tail_ms"].values()) > 0
    assert len({row["macs"]["classification"] for row in rows}) == 1  # the body alone
    all_three = [row["macs"][ANSWERS[2]] for row in rows]
    assert all_three == sorted(all_three, reverse=True)


def test_trained_bundles_are_scored_beside(tmp_path, capsys):
    tasks = {"detection": ("red", "green"), "segmentation": ("background", "red", "green")}
    bundle = tmp_path / "scene"
    write_tiny_bundle(bundle, "tiny-scene", tasks=tasks)
    root = write_set(tmp_path / "set")
    run_branch_bench("scene", [bundle], [root], 2, True)
    (row,) = json.loads(capsys.readouterr().out)["branches"]
    assert set(row["unsplit_scores"]) == set(tasks)
    assert len(row["points"]) == 3
    run_branch_bench("scene", [bundle], [root], 2, False)
    assert "M weights" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="give --data"):
        run_branch_bench("scene", [bundle], [], None, True)
    with pytest.raises(ConfigError, match="no tasks"):
        run_branch_bench("classify", [], [], None, True)
