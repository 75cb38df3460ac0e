import numpy as np
import pytest

from narrows.errors import ConfigError, SourceError
from narrows.server.vertical.labels import Labels


def write(tmp_path, text, name="labels.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_classes_are_sorted_names(tmp_path):
    labels = Labels.load(write(tmp_path, "id,y,x\na,yes,1\nb,no,2\nc,yes,3\n"), "y", "id")
    assert (labels.ids, labels.classes) == (["a", "b", "c"], ("no", "yes"))
    assert labels.indices.tolist() == [1, 0, 1]
    assert labels.select([1, 0]).indices.tolist() == [0, 1]


def test_numbers_are_sorted_by_value_and_alike_in_every_format(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    np.savez(tmp_path / "t.npz", y=np.array([10, 2, 10]))
    parquet.write_table(pyarrow.table({"y": [10.0, 2.0, 10.0]}), tmp_path / "t.parquet")
    write(tmp_path, "y,x\n10,0\n2,0\n10.0,0\n", "t.csv")
    for name in ("t.npz", "t.parquet", "t.csv"):
        labels = Labels.load(tmp_path / name, "y")
        assert (labels.classes, labels.indices.tolist()) == (("2", "10"), [1, 0, 1])


def test_a_trained_network_keeps_its_classes(tmp_path):
    path = write(tmp_path, "y,x\nb,0\nc,0\n")
    assert Labels.load(path, "y", classes=("a", "b", "c")).indices.tolist() == [1, 2]
    with pytest.raises(SourceError, match=r"1 unknown ones \['c'\]"):
        Labels.load(path, "y", classes=("a", "b"))


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("y,x\na,0\n,0\n", SourceError, "1 of 2 records have no 'y'"),
        ("y,x\n0.5,0\n1,0\n", SourceError, "fractions"),
        ("y,x\na,0\na,0\n", SourceError, "expected 2 to 1000 classes, found 1"),
        ("z,x\na,0\nb,0\n", ConfigError, "no columns y"),
        ("y,x\n" + "".join(f"{i},0\n" for i in range(1001)), SourceError, "found 1001"),
    ],
)
def test_what_are_no_labels_is_refused(tmp_path, text, error, says):
    with pytest.raises(error, match=says):
        Labels.load(write(tmp_path, text), "y")
