"""`narrows bench rounds`: what it counts, on a set small enough to train in seconds."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr", reason="Flower has no release for this Python")
pytest.importorskip("torch", reason="networks are trained")

from narrows.errors import ConfigError, SourceError
from narrows.federated.compression.compressors import approximation
from narrows.federated.compression.layers import Tensor
from narrows.simulations.rounds.learning import accuracy, arrays_of, load, network
from narrows.simulations.rounds.methods import Compeft, LGreco, methods, written_bytes
from narrows.simulations.rounds.run import Asked, run_rounds_bench


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Ten kinds of stripes, in Fashion-MNIST's layout."""
    chance = np.random.default_rng(1)
    kinds = chance.integers(0, 256, (10, 28, 28))

    def drawn(count):
        labels = np.arange(count, dtype=np.uint8) % 10
        noise = chance.integers(-40, 40, (count, 28, 28))
        return np.clip(kinds[labels] + noise, 0, 255).astype(np.uint8), labels

    (x_train, y_train), (x_test, y_test) = drawn(600), drawn(100)
    np.savez(tmp_path / "fashion_mnist.npz", x_train=x_train, y_train=y_train,
             x_test=x_test, y_test=y_test)  # fmt: skip
    return tmp_path


def test_every_method_learns_and_its_bytes_are_counted(pictures, capsys, tmp_path):
    asked = Asked(pictures, 5, 8, 0.5, 1.0, "fedavg,ours,lgreco,compeft,fixed_rank4", 1, 1, 1,
                  tmp_path / "runs")  # fmt: skip
    run_rounds_bench(asked, True, tmp_path / "rounds.png")
    found = json.loads(capsys.readouterr().out)
    run_rounds_bench(asked, True, None)
    assert json.loads(capsys.readouterr().out) == found  # from the runs that were kept
    model = sum(array.numpy().nbytes for array in arrays_of(network(0)).values())
    # Five rounds of four clients, the model there and back, and little besides.
    assert 1 <= found["fedavg_bytes"] / (5 * 4 * 2 * model) < 1.01
    assert found["fedavg_accuracy"] > 0.5
    assert found["accuracy"] > 0.3
    assert found["bytes_up"] + found["bytes_down"] < found["fedavg_bytes"] / 10
    assert found["peers"]["lgreco"]["times_fewer_up"] > 10
    assert found["peers"]["lgreco"]["accuracy"] > 0.3
    assert found["peers"]["compeft"]["times_fewer_up"] > 50
    assert found["peers"]["compeft"]["bytes_down"] == 5 * 4 * model
    assert (found["rounds"], found["clients"], found["clients_a_round"]) == (5, 8, 4)
    assert (tmp_path / "rounds.png").stat().st_size > 1000


def test_compeft_counts_what_its_paper_says():
    """docs: d (H2(k) + k) + 32 bits: 0.336 bits a number at 5 %."""
    change = np.random.default_rng(1).normal(size=40_000).astype(np.float32)
    compeft, tensor = Compeft(), Tensor("w", "float32", (200, 200))
    (coded,) = compeft([change], [tensor], [], 0.0)
    assert written_bytes(compeft) * 8 / 40_000 == pytest.approx(0.336, abs=0.002)
    assert np.count_nonzero(coded.integers[0]) == 2000
    assert coded.scales[0] == pytest.approx(float(change.std()), rel=1e-6)


def test_lgreco_keeps_the_error_of_its_default_with_fewer_numbers():
    chance = np.random.default_rng(1)
    tensors = [Tensor("flat", "float32", (100, 80)), Tensor("low", "float32", (100, 80))]
    low = chance.normal(size=(100, 3)) @ chance.normal(size=(3, 80))
    changes = [chance.normal(size=8000).astype(np.float32), low.astype(np.float32).ravel()]
    lgreco = LGreco()
    coded = lgreco(changes, tensors, [], 0.0)
    uniform = LGreco()
    uniform.RANKS = (4,)
    default = uniform(changes, tensors, [], 0.0)
    error, at_default = (
        sum(float(np.square(c - approximation(o, t)).sum())
            for c, o, t in zip(changes, found, tensors, strict=True))
        for found in (coded, default)
    )  # fmt: skip
    assert error <= at_default * 1.01
    assert written_bytes(lgreco) <= written_bytes(uniform)


def test_wrong_questions_are_refused(pictures, tmp_path):
    with pytest.raises(ConfigError, match="expected some of"):
        methods("fedavg,zip")
    with pytest.raises(ConfigError, match="begin with fedavg"):
        run_rounds_bench(Asked(pictures, 1, 4, 0.5, 1.0, "ours", 1, 1, 1), True, None)
    with pytest.raises(SourceError, match="fashion_mnist"):
        load(tmp_path / "nowhere")


def test_accuracy_is_of_the_pictures_kept_out(pictures):
    found = load(pictures)
    share = accuracy(arrays_of(network(0)), found)
    assert 0 <= share <= 1
    assert found.train.shape == (600, 1, 28, 28)
