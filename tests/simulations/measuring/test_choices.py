"""What `--choices` and `--links` may say."""

import pytest

pytest.importorskip("torch", reason="needs the server extra")
pytest.importorskip("pyarrow", reason="needs the server extra")

from command_line import narrows

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.simulations.measuring.choices import Cell, cells_of, choices_of


@pytest.fixture
def manifest(tiny_bundle):
    return Manifest.load(tiny_bundle)


def test_each_way_becomes_its_options_of_narrows_edge(manifest, tmp_path):
    point, picture, local = choices_of("0, webp:50,local,0", manifest)
    assert point.arguments(None) == ["--point", "0"]
    assert picture.arguments(None) == ["--upload", "webp:50"]
    assert local.arguments(tmp_path) == ["--local", str(tmp_path)]
    assert [str(each) for each in (point, picture, local)] == ["point 0", "webp:50", "local"]


def test_what_sends_nothing_is_measured_once(manifest):
    point, local = choices_of("0,local", manifest)
    cells = cells_of((point, local), ("none", "lte"))
    assert cells == (Cell("none", point), Cell("lte", point), Cell("none", local))


@pytest.mark.parametrize("text", ["", " , ", "9", "jpeg", "jpeg:0", "jpeg:101", "png:3", "all"])
def test_an_unknown_way_is_told(manifest, text):
    with pytest.raises(ConfigError, match="--choices"):
        choices_of(text, manifest)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--links", "fast"), "expected a number"),
        (("--links", ";"), "--links: expected some"),
        (("--energy", "sun"), "--energy sun: expected auto, rapl"),
        (("--energy", "model:pi3"), "no board 'pi3'"),
        (("--energy", "model,model:pi4"), "name one"),
        (("--choices", "7"), "operating point of tiny (0, 1, 2)"),
        (("--part", "val"), "no part 'val'"),
    ],
)
def test_what_cannot_be_measured_is_one_line_before_anything_starts(
    tmp_path, tiny_bundle, arguments, says
):
    (tmp_path / "set" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "cat" / "0.png").write_bytes(b"")
    given = ("--bundle", str(tiny_bundle), "--runs", str(tmp_path / "runs"), *arguments)
    done = narrows("measure", str(tmp_path / "set"), *given)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
