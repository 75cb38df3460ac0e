"""The attacks on vertical training: what they must find, and must not seem to find."""

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("scipy", reason="needs the server extra")

from narrows.simulations.vertical import leakage, leakage_attack
from narrows.simulations.vertical.datasets import VerticalData
from narrows.simulations.vertical.leakage import measure, run_leakage_bench
from narrows.simulations.vertical.leakage_attack import (
    alike,
    auc,
    clustered,
    explained,
    first_component,
    guessed,
    matched,
    network,
    ridge,
)
from narrows.simulations.vertical.leakage_training import Training, train

SHORT = Training(epochs=5, width=6, batch=32)


def independent(parties: int = 4, columns: int = 4, count: int = 300) -> VerticalData:
    """Columns that tell nothing of each other, and a label that some of them decide."""
    rng = np.random.default_rng(0)
    whole = np.clip(rng.normal(0, 1, (count, parties * columns)), -4, 4)
    labels = (whole[:, ::columns].sum(1) > 0).astype(np.int64)
    parts = np.split(whole, parties, axis=1)
    return VerticalData("independent", parts, labels, ("no", "yes"), count // 4)


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leakage, "KNOWN", (1.0, 2.0))
        patch.setattr(leakage, "WIDTHS", (2, 8))
        patch.setattr(leakage, "DRAWS", 1)
        patch.setattr(leakage_attack, "STEPS", 60)
        return json.loads(json.dumps(measure(independent(), SHORT)))


def test_an_embedding_of_its_own_gives_a_party_away_and_a_sum_much_less(found):
    for row in found["server"]:
        figures = {view: one["r2"] for view, one in row["ridge"].items()}
        assert figures["embedding"] > 0.98
        assert figures["labels"] < 0.2
        assert figures["sum"] < 0.6  # 6 numbers of 16 columns, and a label


def test_who_is_like_whom_shows_in_an_embedding_and_less_in_a_sum(found):
    assert found["alike"]["embedding"] > 2 * found["alike"]["sum"]


def test_likeness_is_of_the_records_whatever_turns_them():
    rng = np.random.default_rng(0)
    x, other = rng.normal(0, 1, (2, 500, 4))
    turned = x @ np.linalg.qr(rng.normal(0, 1, (4, 4)))[0]
    assert alike(3 * turned + 1, x) == pytest.approx(1)
    assert alike(other, x) < 0.05


def test_colluders_peel_the_sum_down_to_one_partys_embedding(found):
    rows = [(row["columns"]["r2"], row["sum"]["r2"]) for row in found["colluders"]]
    assert [row["colluders"] for row in found["colluders"]] == [0, 1, 2, 3]
    assert rows[-1][0] < 0.25
    assert rows[-1][1] > 0.98
    assert rows[0][1] < rows[2][1] < rows[3][1]


def test_a_wider_sum_tells_more(found):
    narrow, wide = found["widths"]
    assert narrow["sum"]["r2"] < wide["sum"]["r2"] < 0.8


def test_gradients_tell_every_party_the_labels(found):
    party = found["party"]
    assert {(row["gradients"], row["epoch"]) for row in party["labels"]} == {
        ("summed", 1), ("summed", 5), ("split", 1), ("split", 5),
    }  # fmt: skip
    assert party["majority"] < 0.6
    for row in party["labels"]:
        assert row["clusters"] > 0.95
        assert row["sign_auc"] > 0.95


def test_both_trainings_learn(found):
    assert found["accuracy"]["summed"] > 0.7
    assert found["accuracy"]["split"] > 0.7


def test_the_sums_are_those_of_whole_numbers():
    """The server's view is multiples of the result's step, nothing finer."""
    sums = train(independent(), SHORT, summed=True).sums * 2.0**32
    assert np.abs(sums).max() < 2**53
    assert (sums == np.rint(sums)).all()


def test_the_same_seed_gives_the_same_view():
    first, second = (train(independent(), SHORT, summed=True) for _ in range(2))
    assert np.array_equal(first.embeddings, second.embeddings)
    assert np.array_equal(first.gradients, second.gradients)


def test_ridge_regression_inverts_what_is_linear_and_expects_nothing_of_noise():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (80, 3))
    linear, noise = x @ rng.normal(0, 1, (3, 3)), rng.normal(0, 1, (80, 3))
    known, unknown = np.arange(20), np.arange(20, 80)
    inverted = guessed(ridge, [noise, linear], x, known, unknown)
    assert explained(inverted, x[unknown]) > 0.999
    assert explained(guessed(ridge, [noise], x, known, unknown), x[unknown]) < 0.2


def test_the_penalty_is_chosen_by_leaving_one_out():
    rng = np.random.default_rng(1)
    seen, wanted = rng.normal(0, 1, (12, 4)), rng.normal(0, 1, (12, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leakage_attack, "PENALTIES", np.array([0.1]))
        _, told = ridge(seen, wanted)
    rows = np.c_[(seen - seen.mean(0)) / seen.std(0), np.ones(12)]
    by_hand = []
    for left in range(12):
        kept = np.arange(12) != left
        gram = rows[kept].T @ rows[kept] + np.diag([0.1 * 12] * 4 + [0])
        weight = np.linalg.solve(gram, rows[kept].T @ wanted[kept])
        by_hand.append(((wanted[left] - rows[left] @ weight) ** 2).item())
    assert told[0] == pytest.approx(np.mean(by_hand))


def test_a_network_finds_what_is_not_linear():
    x = np.random.default_rng(0).normal(0, 1, (400, 2))
    known, unknown = np.arange(300), np.arange(300, 400)
    by = {a: guessed(a, [x], np.abs(x), known, unknown) for a in (ridge, network)}
    scores = {a: explained(g, np.abs(x)[unknown]) for a, g in by.items()}
    assert scores[ridge] < 0.2
    assert scores[network] > 0.7


def test_clusters_are_called_by_the_labels_that_fit_them_best():
    labels = np.repeat([0, 1, 2], 20)
    points = np.eye(3)[[2, 0, 1]][labels] + np.random.default_rng(0).normal(0, 0.05, (60, 3))
    assert matched(clustered(points, 3), labels) == 1
    assert matched(np.zeros(60, np.int64), labels) == pytest.approx(1 / 3)


def test_the_area_under_the_curve_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 60), rng.integers(0, 9, 60).astype(float)
    area = metrics.roc_auc_score(labels, scores)
    assert auc(scores, labels) == pytest.approx(max(area, 1 - area))
    assert auc(np.zeros(60), labels) == 0.5
    assert first_component(np.outer(labels - 0.5, [3.0, 4.0])).std() > 0


def test_the_command_prints_and_draws(monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(leakage, "KNOWN", (1.0,))
    monkeypatch.setattr(leakage, "WIDTHS", (2,))
    monkeypatch.setattr(leakage, "DRAWS", 1)
    monkeypatch.setattr(leakage_attack, "STEPS", 20)
    small, plot = independent(3, 2, 80), tmp_path / "plot.png"
    run_leakage_bench(small, SHORT, False, plot)
    assert "a party guesses labels" in capsys.readouterr().out
    assert plot.stat().st_size
