import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import ConfigError
from narrows.simulations.rate_distortion.codecs import QUALITIES, decode, encode
from narrows.simulations.rate_distortion.curve import Curve, Sample
from narrows.simulations.rate_distortion.report import figures, print_figures, write_csv
from narrows.simulations.rate_distortion.statistics import (
    accuracy_interval,
    bd_rate,
    bytes_at,
    envelope,
    ratio_at,
    ratio_interval,
)

CURVE = [(400.0, 0.7), (800.0, 0.8), (1600.0, 0.9)]
HALF = [(size / 2, accuracy) for size, accuracy in CURVE]
POINTS = st.lists(
    st.tuples(st.floats(10, 1e5), st.floats(0, 1)), min_size=1, max_size=8, unique=True
)


def curve(method: str, points, n: int = 400, seed: int = 0) -> Curve:
    rng = np.random.default_rng(seed)
    difficulty = rng.permutation(n) / n  # a picture hard for one is hard for all
    samples = [
        Sample(str(i), difficulty < accuracy, rng.poisson(size, n))
        for i, (size, accuracy) in enumerate(points)
    ]
    return Curve(method, tuple(samples), macs=10, parameters=5, runtime="test")


@given(POINTS)
def test_an_envelope_rises_and_no_point_beats_it(points):
    kept = envelope(points)
    sizes, accuracies = zip(*kept, strict=True)
    assert list(sizes) == sorted(sizes)
    assert list(accuracies) == sorted(accuracies)
    for size, accuracy in points:
        assert any(s <= size and a >= accuracy for s, a in kept)


@given(POINTS, st.floats(0, 1))
def test_bytes_at_an_accuracy_lie_among_the_points(points, accuracy):
    found = bytes_at(points, accuracy)
    if max(a for _, a in points) < accuracy:
        assert found is None
    else:
        sizes = [s for s, _ in points]
        assert min(sizes) * 0.999 <= found <= max(sizes) * 1.001


def test_between_points_bytes_are_geometric():
    assert bytes_at(CURVE, 0.75) == pytest.approx((400 * 800) ** 0.5)
    assert bytes_at(CURVE, 0.1) == 400
    dominated = [*CURVE, (3200.0, 0.85)]  # dearer and worse: as if it were not
    assert bytes_at(dominated, 0.9) == pytest.approx(1600)
    assert bytes_at(CURVE, 0.91) is None
    assert ratio_at(HALF, CURVE, 0.85) == pytest.approx(0.5)


def test_bd_rate_of_a_curve_of_half_the_bytes_is_minus_fifty():
    assert bd_rate(CURVE, CURVE) == pytest.approx(0)
    assert bd_rate(CURVE, HALF) == pytest.approx(-50)
    assert bd_rate(CURVE, [(10, 0.1), (20, 0.2)]) is None
    assert bd_rate(CURVE, [(10, 0.8)]) is None


def test_our_cubic_is_scipys():
    interpolate = pytest.importorskip("scipy.interpolate")
    from narrows.simulations.rate_distortion.statistics import _monotone_cubic

    points = [(300.0, 0.5), (420.0, 0.61), (900.0, 0.7), (4000.0, 0.71), (5000.0, 0.9)]
    grid = np.linspace(0.5, 0.9, 50)
    sizes, x = np.array(points).T
    expected = interpolate.PchipInterpolator(x, np.log(sizes))(grid)
    inner = grid > 0.61  # scipy's own end condition differs
    inner &= grid < 0.71
    np.testing.assert_allclose(_monotone_cubic(points, grid)[inner], expected[inner], atol=1e-9)


def test_an_interval_holds_the_mean_and_narrows_with_more_pictures():
    few, many = (accuracy_interval(np.arange(n) % 4 > 0) for n in (40, 4000))
    assert few[0] < 0.75 < few[1]
    assert many[0] < 0.75 < many[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 5


def test_a_ratios_interval_is_paired():
    """The same pictures in both: what makes one draw hard makes it hard for both."""
    ours, theirs = curve("ours", HALF), curve("theirs", CURVE)
    unsplit = curve("unsplit", [(0, 0.88)]).samples[0].right
    low, high, undefined = ratio_interval(ours, theirs, unsplit, 0.03)
    assert low < 0.5 < high
    assert high - low < 0.1
    assert undefined < 100
    assert ratio_interval(ours, theirs, unsplit, -0.1) is None


def test_a_curve_survives_its_file_and_a_strange_file_is_refused(tmp_path):
    path = tmp_path / "c.npz"
    curve("n4", CURVE).save(path)
    again = Curve.load(path)
    assert (again.method, again.macs, again.runtime) == ("n4", 10, "test")
    np.testing.assert_array_equal(again.samples[1].sizes, curve("n4", CURVE).samples[1].sizes)
    for damage in (path.read_bytes()[:40], b"", b"PK nonsense"):
        path.write_bytes(damage)
        with pytest.raises(ConfigError, match="delete it"):
            Curve.load(path)


@pytest.fixture
def found():
    curves = [curve("ours", HALF), curve("jpeg", CURVE), curve("n4", [(300.0, 0.6)])]
    unsplit = curve("unsplit", [(0, 0.88)]).samples[0].right
    return figures(curves, unsplit, {"ours": [1, 1, 1], "jpeg": [2, 2, 2], "n4": [3]})


def test_the_figures_say_our_bytes_over_theirs(found):
    assert found["unsplit_accuracy"] == pytest.approx(0.88)
    assert found["bytes_ratio_at"]["-1"]["jpeg"] == pytest.approx(0.5, rel=0.05)
    assert found["bytes_ratio_at"]["-3"]["n4"] is None  # it never gets there
    assert found["bytes_ratio_at_common"]["n4"] == pytest.approx(
        {"accuracy": 0.6, "ratio": 200 / 300}, rel=0.05
    )
    assert found["bd_rate"]["jpeg"] == pytest.approx(-50, abs=3)
    row = found["methods"]["ours"][0]
    assert set(row) >= {"accuracy", "bytes", "ci95", "device_ms", "macs"}
    assert "NaN" not in json.dumps(found)


def test_the_figures_as_csv_table_and_picture(found, tmp_path, capsys):
    write_csv(found, tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_text().count("\n") == 1 + 3 + 3 + 1
    print_figures(found)
    assert "not reached" in capsys.readouterr().out
    pytest.importorskip("matplotlib", reason="needs the server extra")
    from narrows.simulations.rate_distortion.plots import draw

    draw(found, tmp_path / "f.png")
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("codec", QUALITIES)
def test_a_codecs_file_grows_with_its_quality(codec):
    from PIL import features

    if codec == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (8, 8, 3)).repeat(8, 0).repeat(8, 1)
    picture = np.clip(coarse + rng.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)
    qualities = QUALITIES[codec]
    files = [encode(picture, codec, q) for q in (qualities[0], qualities[-1])]
    assert len(files[0]) < len(files[1])
    worst, best = (np.abs(decode(f).astype(int) - picture).mean() for f in files)
    assert decode(files[0]).shape == picture.shape
    assert best < worst
