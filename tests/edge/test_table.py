import contextlib
import gzip
import io
import json
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.edge.vertical.table import Preparation, Table
from narrows.errors import ConfigError, SourceError
from narrows.sharing.tables import Columns, read_columns

TEXT = """id,age,colour,same,score
a,30,red,1,0.5
b,,green,1,-1.5
c,50,?,1,2
d,20,red,1,1e3
"""


@pytest.fixture
def csv_table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TEXT)
    return path


def write(tmp_path, text, name="other.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_text_becomes_columns_of_its_own_and_a_constant_column_is_left_out(csv_table):
    table = Table.load(csv_table, None, "id")
    assert table.ids == ["a", "b", "c", "d"]
    assert table.names == ["age", "colour=", "colour=green", "colour=red", "score"]


def test_columns_have_zero_mean_and_unit_variance_and_a_missing_number_is_the_mean(csv_table):
    table = Table.load(csv_table, None, "id")
    np.testing.assert_allclose(table.values[:, 1:].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(table.values[:, 1:].std(0), 1)
    assert table.values[1, 0] == 0.0


def test_values_beyond_the_limit_are_moved_to_it(csv_table):
    table = Table.load(csv_table, ["score"], "id")
    assert np.abs(table.values).max() > 1.5
    assert np.abs(table.within(1.5)).max() == 1.5
    inner = np.abs(table.values) <= 1.5
    np.testing.assert_array_equal(table.within(1.5)[inner], table.values[inner])


def test_every_format_gives_the_same_table(csv_table, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {
        "id": ["a", "b", "c", "d"],
        "age": [30.0, np.nan, 50.0, 20.0],
        "colour": ["red", "green", "?", "red"],
        "same": np.ones(4, np.int8),
        "score": [0.5, -1.5, 2, 1e3],
    }
    np.savez_compressed(tmp_path / "t.npz", **columns)
    as_arrow = pyarrow.table(columns | {"age": [30, None, 50, 20]})
    coded = as_arrow.column("colour").dictionary_encode()
    parquet.write_table(as_arrow.set_column(2, "colour", coded), tmp_path / "t.parquet")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TEXT.encode("utf-8-sig")))
    write(tmp_path, TEXT.replace(",", ";"), "semicolons.csv")
    expected = Table.load(csv_table, None, "id")
    for name in ("t.npz", "t.parquet", "t.csv.gz", "semicolons.csv"):
        table = Table.load(tmp_path / name, None, "id")
        assert (table.ids, table.preparation) == (expected.ids, expected.preparation), name
        np.testing.assert_array_equal(table.values, expected.values)


def test_identifiers_of_whole_numbers_are_their_digits_in_every_format(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    numbers = [2**60 + 1, 2**60 + 2]  # which float64 cannot tell apart
    np.savez(tmp_path / "t.npz", n=np.array(numbers), x=np.array([1.0, 2.0]))
    parquet.write_table(pyarrow.table({"n": numbers, "x": [1.0, 2.0]}), tmp_path / "t.parquet")
    write(tmp_path, f"n,x\n{numbers[0]},1\n{numbers[1]},2\n", "t.csv")
    for name in ("t.npz", "t.parquet", "t.csv"):
        assert Table.load(tmp_path / name, None, "n").ids == [str(n) for n in numbers]


def test_a_view_is_chosen_whole_or_by_its_columns(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "views.npz"
    np.savez(path, pix=rng.random((5, 3)), mor=rng.random((5, 2)), names=np.array(["a", "b"]))
    assert Table.load(path, ["pix"]).names == ["pix/0", "pix/1", "pix/2"]
    assert Table.load(path, ["mor/1", "pix/0"]).names == ["mor/1", "pix/0"]
    assert Table.load(path, ["pix"]).ids == ["0", "1", "2", "3", "4"]
    with pytest.raises(SourceError, match="different lengths"):
        Table.load(path)


def test_records_come_into_the_agreed_order(csv_table):
    table = Table.load(csv_table, None, "id")
    chosen = table.select([3, 0])
    assert chosen.ids == ["d", "a"]
    np.testing.assert_array_equal(chosen.values, table.values[[3, 0]])


def test_held_out_records_decide_nothing_once_rescaled(csv_table):
    table = Table.load(csv_table, None, "id")
    changed = table.coded.copy()
    changed[3] *= 7
    for one in (table, Table(table.ids, changed, table.preparation)):
        rescaled = one.rescaled(3)
        np.testing.assert_allclose(rescaled.values[:3].mean(0), 0, atol=1e-12)
        np.testing.assert_array_equal(rescaled.values[:3], table.rescaled(3).values[:3])


def test_another_file_is_prepared_as_the_first_was(csv_table, tmp_path):
    table = Table.load(csv_table, None, "id")
    kept = Preparation.decode(table.preparation.encode())
    assert kept == table.preparation
    later = write(tmp_path, "score,colour,id,age\n0.5,red,x,30\n2,blue,y,1e6\n")
    again = Table.load_prepared(later, kept, "id")
    np.testing.assert_array_equal(again.values[0], table.values[0])
    unknown = again.coded[1, 1:4]
    np.testing.assert_array_equal(unknown, [0, 0, 0])


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", SourceError, "first line"),
        ("1,2\n3,4\n", SourceError, "first line"),
        ("id,x\n", SourceError, "without records"),
        ("id,x\na,1\na,2\n", SourceError, "different"),
        ("id,x\n,1\nb,2\n", SourceError, "empty"),
        ("id,x\na,1\nb\n", SourceError, "line 3: 1 cells, expected 2"),
        ("id,x,x\na,1,2\nb,1,2\n", SourceError, "name of their own"),
        ("id,x\na,inf\nb,2\n", SourceError, "infinite"),
        ("id,x\na,1e308\nb,-1e308\n", SourceError, "too large"),
        ("id,x\na,5\nb,5\n", SourceError, "the same in all"),
        ("id,x\na,\nb,\n", SourceError, "the same in all"),
        ("id\na\nb\n", SourceError, "besides"),
        ("n,x\na,1\nb,2\n", ConfigError, "no columns id: it has n, x"),
        ("id,x\n" + "".join(f"{i},t{i}\n" for i in range(65)), SourceError, "65 different texts"),
        ("id,x\na,1_0\nb,b\n" + "y" * 200_000, SourceError, "line"),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path, text, error, says):
    with pytest.raises(error, match=says):
        Table.load(write(tmp_path, text), None, "id")


def test_python_s_own_ways_to_write_numbers_are_text(tmp_path):
    path = write(tmp_path, "x\n1_0\n2_0\n")
    assert Table.load(path).names == ["x=1_0", "x=2_0"]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.npz", "t.parquet"])
@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_table_or_refused(tmp_path_factory, name, data):
    path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(data)
    with contextlib.suppress(SourceError):
        Table.load(path)


def test_a_truncated_file_is_refused(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.arange(1000.0))
    whole = {"t.npz": buffer.getvalue(), "t.csv.gz": gzip.compress(TEXT.encode() * 50)}
    for name, data in whole.items():
        path = tmp_path / name
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(SourceError):
            Table.load(path)


def npy(descr, shape, body=b""):
    """A .npy file whose header may lie."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = header.ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (npy("<f8", (1 << 40,)), "size its header says"),
        (npy("<f8", (-1, -1), bytes(8)), "size its header says"),
        (npy("<f8", (0, 1 << 40)), "columns"),
        (npy("<U0", (1 << 40,)), "cells"),
        (npy("|O", (1,), bytes(8)), "expected numbers"),
        (npy("<c16", (1,), bytes(16)), "expected numbers"),
        (npy("<f8", (2, 2, 2), bytes(64)), "expected numbers"),
    ],
)
def test_an_array_that_claims_too_much_is_refused_before_it_is_made(tmp_path, member, says):
    path = tmp_path / "t.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", member)
    with pytest.raises(SourceError, match=says):
        Table.load(path)


def test_a_text_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("narrows.sharing.tables.MAX_TEXT", 1000)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"x\n" + b"1\n" * 5000))
    with pytest.raises(SourceError, match="over 1000 characters"):
        Table.load(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"expected a table, \.csv"):
        Table.load(write(tmp_path, TEXT, "table.txt"))
    with pytest.raises(SourceError, match="cannot be read"):
        Table.load(tmp_path / "none.csv")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="pip install pyarrow"):
        Table.load(write(tmp_path, "", "t.parquet"))


def test_text_where_numbers_were_is_refused(csv_table, tmp_path):
    preparation = Table.load(csv_table, ["age"], "id").preparation
    with pytest.raises(SourceError, match="has text: expected numbers"):
        Table.load_prepared(write(tmp_path, "id,age\na,old\n"), preparation, "id")


@pytest.mark.parametrize(
    "change",
    [
        {"deviations": [0.0]},
        {"deviations": [-1.0]},
        {"means": [None]},
        {"means": []},
        {"means": [1.0, 2.0]},
        {"texts": ["a", "b"]},
        {"texts": []},
    ],
)
def test_a_damaged_preparation_is_refused(csv_table, change):
    kept = json.loads(Table.load(csv_table, ["age"], "id").preparation.encode())
    kept["columns"][0] |= change
    with pytest.raises(ConfigError, match=r"preparation|column 'age'"):
        Preparation.decode(json.dumps(kept).encode())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.floats(-1e6, 1e6, allow_subnormal=False)), min_size=2, max_size=20
    )
)
def test_any_column_is_to_scale_or_left_out(numbers):
    array = np.array([np.nan if n is None else n for n in numbers])
    ids = [str(i) for i in range(len(numbers))]
    known = {n for n in numbers if n is not None}
    columns = Columns("test", ids, {"x": array})
    if len(known) < 2:
        with pytest.raises(SourceError):
            Preparation.fit(columns)
        return
    values = Preparation.fit(columns).apply(columns)
    assert np.isfinite(values).all()
    assert (values[np.isnan(array)] == 0).all()
    assert np.abs(values).max() <= np.sqrt(len(numbers)) + 1


def test_numbers_and_text_are_one_thing_to_a_label(tmp_path):
    np.savez(tmp_path / "t.npz", y=np.array([3.0, 10.0, 3.0]))
    columns = read_columns(tmp_path / "t.npz", ["y"], None)
    assert columns.texts("y") == ["3", "10", "3"]
