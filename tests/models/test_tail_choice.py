"""Which way a tail runs: only what is accurate enough, and of these the fastest."""

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")

from narrows.codec.manifest import Manifest
from narrows.codec.signature import sign_bundle
from narrows.errors import ConfigError
from narrows.models.bundle import add_tail_scores, load_tail
from narrows.models.cores import Core, Way, eager_core, find_device
from narrows.models.tail_builds import cache_folder
from narrows.models.tail_choice import Load, agrees, choose_core, measure
from narrows.models.tail_options import TailOptions

LOAD = Load(threads=1, max_batch=4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def chosen(bundle, **options) -> Core:
    runner, manifest = load_tail(bundle), Manifest.load(bundle)
    return choose_core(runner.tail, bundle, manifest, runner.device, TailOptions(**options), LOAD)


def scored(bundle, *losses: float) -> Manifest:
    """The manifest with float32 right in 90 % and bfloat16 in so much less, point by point."""
    points = [
        {"fp32": {"classification": 0.9}, "bf16": {"classification": 0.9 - loss}} for loss in losses
    ]
    return add_tail_scores(bundle, points, {"data": "none", "photographs": 1})


@pytest.mark.parametrize(
    ("losses", "allowed"),
    [
        ((0.0, 0.0, 0.0), ("fp32", "bf16")),
        ((0.002, -0.01, 0.001), ("fp32", "bf16")),
        ((0.0, 0.003, 0.0), ("fp32",)),
    ],
)
def test_a_manifest_allows_bfloat16_only_where_no_point_loses_more_than_two_tenths(
    bundle, losses, allowed
):
    assert scored(bundle, *losses).tail_precisions == allowed


def test_a_manifest_without_measurement_allows_float32_alone(bundle):
    assert Manifest.load(bundle).tail_precisions == ("fp32",)
    rows = scored(bundle, 0.0, 0.0, 0.0).as_dict()
    del rows["operating_points"][1]["tail_scores"]
    assert Manifest.sealed(rows).tail_precisions == ("fp32",)


def test_scores_change_the_digest_and_void_the_signature(bundle, tmp_path):
    before = Manifest.load(bundle)
    sign_bundle(bundle, tmp_path / "key.pem")
    after = scored(bundle, 0.0, 0.0, 0.0)
    assert after == Manifest.load(bundle)
    assert after.digest != before.digest
    assert not (bundle / "manifest.sig").exists()


def test_where_nothing_is_measured_or_built_the_tail_runs_eagerly_and_nothing_is_written(bundle):
    assert chosen(bundle).way == Way(False, "fp32")
    assert not cache_folder().exists()


def test_an_operators_precision_is_used_whatever_the_manifest_says(bundle):
    assert chosen(bundle, precision="bf16").way == Way(False, "bf16")


def test_the_choice_is_made_once_and_kept(bundle):
    scored(bundle, 0.0, 0.0, 0.0)
    first = chosen(bundle)
    (file,) = cache_folder().glob("*/choice-*.json")
    assert file.parent.stat().st_mode & 0o077 == 0
    kept = json.loads(file.read_text())
    assert kept["chosen"] == str(first.way)
    other = {"eager fp32": "eager bf16", "eager bf16": "eager fp32"}[kept["chosen"]]
    file.write_text(json.dumps(kept | {"chosen": other}))
    assert str(chosen(bundle).way) == other


@pytest.mark.parametrize("text", ["", "[]", '{"of": ["eager bf16", "eager fp32"], "chosen": "x"}'])
def test_a_damaged_choice_is_made_again(bundle, text):
    scored(bundle, 0.0, 0.0, 0.0)
    chosen(bundle)
    (file,) = cache_folder().glob("*/choice-*.json")
    file.write_text(text)
    chosen(bundle)
    assert json.loads(file.read_text())["chosen"] in ("eager bf16", "eager fp32")


def test_times_are_ratios_to_the_first_way(bundle):
    tail = load_tail(bundle).tail
    cores = [eager_core(tail), eager_core(tail, "bf16")]
    ratios = measure(cores, [torch.zeros(n, 6, 4, 4) for n in (1, 2)])
    assert ratios["eager fp32"] == pytest.approx(1.0)
    assert ratios["eager bf16"] > 0


def test_a_core_that_computes_something_else_does_not_agree(bundle):
    exact = eager_core(load_tail(bundle).tail)
    latents = [torch.randn(2, 6, 4, 4, generator=torch.Generator().manual_seed(0))]
    wrong = Core(Way(True, "fp32"), lambda x: [out * 1.001 for out in exact.run(x)])
    broken = Core(Way(True, "fp32"), lambda x: [out * float("nan") for out in exact.run(x)])
    assert agrees(exact, exact, exact, latents)
    assert not agrees(wrong, exact, exact, latents)
    assert not agrees(broken, exact, exact, latents)


def test_bfloat16_answers_come_near_those_in_float32(bundle):
    runner = load_tail(bundle)
    latents = np.random.default_rng(0).normal(0, 2, (3, 6, 4, 5)).astype(np.float32)
    exact = runner.run(latents)
    runner.core = eager_core(runner.tail, "bf16")
    near = runner.run(latents)
    assert near.dtype == np.float32
    np.testing.assert_allclose(near, exact, atol=0.02)


@pytest.mark.parametrize(
    "wrong", [{"device": "tpu"}, {"tail": "fast"}, {"precision": "int4"}, {"precision": ""}]
)
def test_an_unknown_wish_is_refused_by_name(wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(ConfigError, match=f"--{name} {value!r}: expected auto"):
        TailOptions(**wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    assert find_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match="--device cuda: torch finds no GPU"):
        find_device("cuda")
