"""The attack on packets: what it must reach, and must not seem to reach."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")

from bundles import CHANNELS, SIDE, point
from PIL import Image

from narrows.codec import bitstream
from narrows.codec.frame import FrameCodec, PointCoding, load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.edge.head import load_head
from narrows.simulations.bench.inversion import Attack, run_inversion_bench
from narrows.simulations.bench.inversion_attack import Inverter, Ridge, fit, invert, solve_ridge
from narrows.simulations.bench.inversion_baselines import best_files, quality, thumbnail
from narrows.simulations.bench.inversion_data import View, view_of

ALL = slice(None)


def scenes(count: int, seed: int = 0) -> np.ndarray:
    """uint8 (count, SIDE, SIDE, 3): a few large areas of any colour."""
    small = np.random.default_rng(seed).integers(0, 256, (count, 3, 3, 3), dtype=np.uint8)
    large = [Image.fromarray(s).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for s in small]
    return np.stack([np.asarray(picture) for picture in large])


@pytest.fixture(scope="module")
def codec(tiny_bundle: Path) -> FrameCodec:
    return load_frame_codec(tiny_bundle, Manifest.load(tiny_bundle))


def view(bundle: Path, pictures: np.ndarray) -> View:
    return view_of(load_head(bundle, Manifest.load(bundle)), pictures, "test")


def trained(codec: FrameCodec, seen: View, epochs: int, state: Path) -> Inverter:
    torch.manual_seed(0)
    network = Inverter(len(codec.points), codec.channels, seen.cell)
    fit(network, codec, [seen], epochs, state, lambda what, steps: None)
    return network


def psnr_of_mean(seen: View, truth: torch.Tensor) -> float:
    return quality(seen.mean().expand_as(truth), truth)["psnr"]


def test_the_ridge_regression_is_least_squares_with_a_row_for_each_penalty():
    rng = np.random.default_rng(0)
    inputs, outputs = rng.normal(1, 2, (60, 5)), rng.normal(3, 1, (60, 2))
    weight, bias = solve_ridge([(inputs[:40], outputs[:40]), (inputs[40:], outputs[40:])], 0.1)
    rows = np.vstack([np.c_[inputs, np.ones(60)], np.c_[np.eye(5) * 6**0.5, np.zeros(5)]])
    wanted = np.linalg.lstsq(rows, np.vstack([outputs, np.zeros((5, 2))]), rcond=None)[0]
    np.testing.assert_allclose(np.vstack([weight, bias]), wanted, atol=1e-10)


def test_channels_far_from_zero_that_hardly_vary_do_not_drown_the_others():
    rng = np.random.default_rng(0)
    pictures = np.kron(rng.integers(0, 256, (40, 4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    latents = np.zeros((40, CHANNELS, 4, 4), np.float32)
    latents[:, :3] = pictures[:, ::8, ::8].transpose(0, 3, 1, 2) / 64
    latents[:, 3:] = 50 + rng.normal(0, 1e-3, (40, 3, 4, 4))
    plain = point(64.0, 3.0)
    far = np.where(np.arange(CHANNELS) < 3, 0, 3200).astype(np.float32)
    codec = FrameCodec(
        bytes(8), [PointCoding(plain.tables, plain.gain, plain.inverse_gain, far)], (8, 8)
    )
    seen = View(pictures, latents)
    ridge = Ridge(CHANNELS, seen.cell)
    ridge.fit(codec, 0, seen)
    assert ridge.normalised(seen.received(codec, 0, ALL)).abs().max() < 10
    cells = ridge(seen.received(codec, 0, ALL))
    drawn = torch.nn.functional.pixel_shuffle(cells, seen.cell)
    assert quality(drawn, seen.wanted(ALL))["psnr"] > 40


@pytest.fixture(scope="module")
def overfit(
    tiny_bundle: Path, codec: FrameCodec, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Inverter, View]:
    seen = view(tiny_bundle, scenes(16))
    return trained(codec, seen, 30, tmp_path_factory.mktemp("run") / "state.safetensors"), seen


def test_a_handful_of_photographs_is_drawn_far_above_their_mean(codec, overfit):
    network, seen = overfit
    truth = seen.wanted(ALL)
    linear, whole = (quality(drawn, truth)["psnr"] for drawn in invert(network, codec, seen, 0))
    assert linear > psnr_of_mean(seen, truth) + 1
    assert whole > psnr_of_mean(seen, truth) + 8


def test_a_packet_of_random_symbols_tells_no_more_than_the_mean(codec, overfit):
    network, seen = overfit
    real = np.stack([codec.quantise(latent, 0) for latent in seen.latents])
    symbols = np.random.default_rng(0).permutation(real.reshape(-1)).reshape(real.shape)
    packets = [bitstream.parse(codec.encode_symbols(s, 0)) for s in symbols]
    random = View(seen.pictures, np.stack(codec.decode(packets)))
    truth = seen.wanted(ALL)
    for drawn in invert(network, codec, random, 0):
        assert quality(drawn, truth)["psnr"] < psnr_of_mean(seen, truth) + 0.1


def test_a_killed_training_goes_on_after_its_last_whole_epoch(tiny_bundle, codec, tmp_path):
    seen = view(tiny_bundle, scenes(32))
    network = Inverter(len(codec.points), codec.channels, seen.cell)
    steps: list[int] = []

    def killed(what: str, done: int) -> None:
        steps.append(done)
        if sum(steps) == 3:  # in the second epoch of two steps
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(network, codec, [seen], 3, tmp_path / "state.safetensors", killed)
    steps.clear()
    again = Inverter(len(codec.points), codec.channels, seen.cell)
    fit(again, codec, [seen], 3, tmp_path / "state.safetensors", lambda _, done: steps.append(done))
    assert steps == [2, 1, 1, 1, 1]
    torch.testing.assert_close(again.ridge(2).weight, network.ridge(2).weight)


def test_ssim_is_scikit_images():
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(0)
    a = rng.random((3, 24, 24), dtype=np.float32)
    b = np.clip(a + rng.normal(0, 0.2, a.shape), 0, 1).astype(np.float32)
    wanted = metrics.structural_similarity(
        a, b, channel_axis=0, data_range=1, gaussian_weights=True, use_sample_covariance=False
    )
    assert quality(torch.tensor(a)[None], torch.tensor(b)[None])["ssim"] == pytest.approx(
        wanted, abs=1e-3
    )


@pytest.mark.parametrize("codec_name", ["jpeg", "webp"])
def test_files_stay_within_their_bytes_and_improve_with_them(codec_name):
    pictures = np.kron(scenes(2), np.ones((4, 4, 1))).astype(np.uint8)
    truth = View(pictures, np.zeros((2, 1, 1, 1), np.float32)).wanted(ALL)
    mean = truth.mean(0)
    files = best_files(codec_name, pictures, [[10, 10], [400, 400], [1500, 1500]], mean)
    assert files.bytes[0] == 0
    assert 0 < files.bytes[1] <= 400
    scores = [quality(drawn, truth)["psnr"] for drawn in files.drawn]
    assert scores == sorted(scores)
    assert scores[0] == pytest.approx(quality(mean.expand_as(truth), truth)["psnr"], abs=0.1)


def test_a_finer_thumbnail_is_nearer():
    truth = torch.from_numpy(scenes(4)).permute(0, 3, 1, 2).float() / 255
    assert (
        quality(thumbnail(truth, 4), truth)["psnr"] < quality(thumbnail(truth, 16), truth)["psnr"]
    )


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for part, count, seed in (("train", 32, 0), ("val", 4, 1)):
        for number, picture in enumerate(scenes(count, seed)):
            path = tmp_path / "set" / part / "cat" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return tmp_path / "set"


def test_the_command_measures_every_point_beside_its_bounds(
    tiny_bundle, photographs, tmp_path, capsys
):
    attack = Attack(tiny_bundle, photographs, 2, None, 4, tmp_path / "run")
    run_inversion_bench(attack, True, tmp_path / "plot.png", None)
    found = json.loads(capsys.readouterr().out)
    assert (found["photographs"], found["side"]) == (4, SIDE // 2)
    assert found["attacker"]["steps"] == 4
    assert found["attacker"]["photographs"] == 32
    assert [row["point"] for row in found["points"]] == [0, 1, 2]
    assert all(row["webp"]["bytes"] <= row["bytes"] for row in found["points"])
    assert found["mean_photograph"]["psnr"] < found["thumbnails"][0]["psnr"]
    assert (tmp_path / "plot.png").stat().st_size
    run_inversion_bench(attack, False, None, None)  # the checkpoint's: nothing is trained again
    assert "4 steps of 16 of 32 photographs" in capsys.readouterr().out
