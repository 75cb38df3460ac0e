from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from narrows.errors import ConfigError, SourceError
from narrows.simulations.vertical.datasets import DIGITS, EMBEDDED, LIMIT, SETS, load_vertical

DATA = Path(__file__).parents[4] / "shared" / "data"
FROM_FILES = [name for name in SETS if name not in (EMBEDDED, DIGITS)]


@pytest.fixture
def data():
    if not DATA.is_dir():
        pytest.skip(f"needs the data sets in {DATA}")
    return DATA


@pytest.mark.parametrize("parties", [1, 6, 28, 30])
def test_every_column_is_one_party_s(parties):
    found = load_vertical(EMBEDDED, parties)
    assert len(found.parts) == parties
    whole = load_vertical(EMBEDDED, 1)
    np.testing.assert_allclose(np.concatenate(found.parts, axis=1), whole.parts[0], atol=1e-9)
    np.testing.assert_array_equal(found.labels, whole.labels)


def test_values_are_to_scale_by_the_training_records_and_within_the_limit():
    found = load_vertical(EMBEDDED, 6)
    whole = np.concatenate(found.parts, axis=1)
    assert found.records == 569
    assert found.held_out == 113
    assert np.abs(whole).max() <= LIMIT
    np.testing.assert_allclose(np.median(np.abs(whole[: found.training].mean(0))), 0, atol=1e-12)
    assert np.abs(whole[found.training :].mean(0)).max() > 0.01


def test_fewer_records_are_the_first_of_both_kinds():
    whole, some = load_vertical(EMBEDDED, 3), load_vertical(EMBEDDED, 3, records=100)
    assert (some.records, some.held_out) == (100, 19)
    np.testing.assert_array_equal(some.labels[:81], whole.labels[:81])
    np.testing.assert_array_equal(some.labels[81:], whole.labels[whole.training :][:19])


def test_a_seed_is_an_order():
    one, other = load_vertical(EMBEDDED, 3, seed=1), load_vertical(EMBEDDED, 3, seed=2)
    assert not np.array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.labels, load_vertical(EMBEDDED, 3, seed=1).labels)


def test_what_cannot_be_loaded_says_why(tmp_path):
    with pytest.raises(ConfigError, match="30 columns: expected 1 to 30 parties"):
        load_vertical(EMBEDDED, 31)
    with pytest.raises(ConfigError, match="expected one of breast_cancer"):
        load_vertical("iris", 2)
    with pytest.raises(ConfigError, match="--data"):
        load_vertical("adult", 2)
    for name in FROM_FILES:
        with pytest.raises(SourceError, match="expected a folder with"):
            load_vertical(name, 2, tmp_path)


@pytest.mark.parametrize(
    ("name", "parties", "widths", "held_out"),
    [
        ("mfeat", 6, [76, 216, 64, 240, 47, 6], 320),
        ("mfeat", 8, [76, 108, 108, 64, 120, 120, 47, 6], 320),
        ("caltech7", 6, [48, 40, 254, 1984, 512, 928], 236),
        ("credit_default", 6, [4, 4, 4, 4, 4, 3], 4800),
    ],
)
def test_views_are_one_party_s_each_and_the_widest_are_cut(data, name, parties, widths, held_out):
    found = load_vertical(name, parties, data)
    assert [part.shape[1] for part in found.parts] == widths
    assert found.held_out == held_out


def test_nobody_is_both_learnt_from_and_held_out(data):
    for seed in range(3):
        found = load_vertical("parkinsons", 4, data, seed=seed)
        assert {*found.labels[found.training :].tolist()} == {0, 1}
    assert 20 <= found.held_out <= 45
