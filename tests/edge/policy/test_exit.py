"""The device's own answer: a regression on cells, a confidence, an energy."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from narrows.edge.policy.exit import ExitHead, cells
from narrows.edge.policy.risk import Calibration
from narrows.errors import BundleError

RNG = np.random.default_rng(0)
CALIBRATION = Calibration(np.array([0.5, -1], np.float32), np.array([True, False]))


def head(channels=2, labels=3, limit=0.0):
    weight = RNG.normal(size=(labels, channels * 18)).astype(np.float32)
    return ExitHead(weight, RNG.normal(size=labels).astype(np.float32), limit, CALIBRATION)


def test_cells_cover_the_latent_and_pool_each_by_channel():
    latent = RNG.normal(size=(2, 6, 9)).astype(np.float32)
    found = cells(latent)
    blocks = latent.reshape(2, 3, 2, 3, 3).transpose(1, 3, 0, 2, 4).reshape(9, 2, 6)
    np.testing.assert_allclose(found[:18], blocks.mean(2).reshape(-1), rtol=1e-5)
    np.testing.assert_array_equal(found[18:], blocks.max(2).reshape(-1))
    assert cells(latent[:, :1, :1]).shape == (36,)  # smaller than the grid


def test_the_answer_is_a_softmax_and_its_energy():
    latent, exit_head = RNG.normal(size=(2, 5, 7)).astype(np.float32), head()
    logits = (exit_head.weight @ cells(latent) + exit_head.bias).astype(np.float64)
    found = exit_head.answer(latent)
    total = np.exp(logits).sum()
    assert found.index == logits.argmax()
    assert found.confidence == pytest.approx(np.exp(logits.max()) / total, rel=1e-4)
    assert found.energy == pytest.approx(-np.log(total), rel=1e-4)
    assert found.familiar == (found.energy <= 0)


def test_it_is_read_as_it_was_written_and_not_for_another_head(tmp_path):
    path, written = tmp_path / "exit.safetensors", head(limit=-1.5)
    save_file(written.to_arrays(), path)
    read = ExitHead.load(path, 2, 3)
    np.testing.assert_array_equal(read.weight, written.weight)
    assert read.energy_limit == -1.5
    assert read.calibration.kept_and_lost(0.5) == (0.5, 0.5)
    for channels, labels in ((3, 3), (2, 4)):
        with pytest.raises(BundleError, match="expected"):
            ExitHead.load(path, channels, labels)
    for damage in (b"nonsense", b""):
        path.write_bytes(damage)
        with pytest.raises(BundleError, match="not an exit head"):
            ExitHead.load(path, 2, 3)
