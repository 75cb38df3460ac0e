"""RAPL by trees as powercap has them: which zones count, laps, and who may read."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from energy_sensors import RANGE, zone
from hypothesis import given
from hypothesis import strategies as st

from narrows.edge.energy.rapl import Counter, Rapl
from narrows.errors import SensorError


@pytest.fixture
def tree(tmp_path):
    """A laptop: one package with its parts, the same again by another road, the whole platform."""
    (tmp_path / "intel-rapl").mkdir()
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 500_000)
    zone(tmp_path, "intel-rapl:0:1", "uncore", 200_000)
    zone(tmp_path, "intel-rapl:1", "psys", 9_000_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000)
    return tmp_path


def test_a_package_counts_and_its_parts_do_not(tree):
    sensor = Rapl(tree)
    (tree / "intel-rapl:0" / "energy_uj").write_text("3500000\n")
    (tree / "intel-rapl:0:0" / "energy_uj").write_text("2500000\n")
    (tree / "intel-rapl:1" / "energy_uj").write_text("99000000\n")
    assert sensor.joules() == pytest.approx(2.5)
    assert "package-0" in sensor.about.covers
    assert not sensor.about.is_model


def test_memory_and_every_package_are_added(tree):
    zone(tree, "intel-rapl:2", "package-1", 0)
    zone(tree, "intel-rapl:2:0", "dram", 10)
    sensor = Rapl(tree)
    for path, energy_uj in (("0", 2_000_000), ("2", 4_000_000), ("2:0", 500_010)):
        (tree / f"intel-rapl:{path}" / "energy_uj").write_text(f"{energy_uj}")
    assert sensor.joules() == pytest.approx(1 + 4 + 0.5)


@given(start=st.integers(0, RANGE - 1), steps=st.lists(st.integers(0, RANGE - 1), max_size=8))
def test_a_counter_that_begins_again_loses_nothing(tmp_path_factory, start, steps):
    path = tmp_path_factory.getbasetemp() / "energy_uj"
    path.write_text(str(start))
    counter, told = Counter(path, RANGE), start
    for step in steps:
        told = (told + step) % RANGE
        path.write_text(str(told))
        counter.advance()
    assert counter.spent_uj == sum(steps)


def test_where_there_is_none_the_place_is_named(tmp_path):
    with pytest.raises(SensorError, match=rf"{tmp_path}: no intel-rapl package"):
        Rapl(tmp_path)


def test_a_counter_that_only_root_may_read_says_so_and_what_to_do():
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        path = zone(Path(open_to_all), "intel-rapl:0", "package-0", 1)
        path.chmod(0o400 if os.geteuid() == 0 else 0)
        with somebody_else(), pytest.raises(SensorError, match=r"by root alone.*chmod a\+r"):
            Rapl(Path(open_to_all))


@contextmanager
def somebody_else():
    """Without root's right to read everything, for as long as the context lasts."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_what_is_not_a_number_is_told(tree):
    (tree / "intel-rapl:0" / "energy_uj").write_text("plenty\n")
    with pytest.raises(SensorError, match="energy_uj: expected a whole number"):
        Rapl(tree)
