"""Whole runs on a handful of noisy pictures: they end in bundles, reproduce, and scale out."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")

from PIL import Image
from two_processes import one_of_two

from narrows.errors import ConfigError
from narrows.training.export import export
from narrows.training.recipe import RECIPES, Recipe, load_recipe, tomllib
from narrows.training.run import Request, models, start

FOLDERS = ("bird", "cat", "dog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for index, name in enumerate(FOLDERS):
        for part, count in (("train", 12), ("val", 4)):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                noise = rng.integers(0, 90, (40, 48, 3)) + 80 * np.eye(3, dtype=int)[index]
                Image.fromarray(noise.astype(np.uint8)).save(root / part / name / f"{i}.png")
    return root


def tiny(name: str) -> Recipe:
    """A shipped recipe on small_resnet, with one short phase of each kind."""
    fields = tomllib.loads((RECIPES / f"{name}.toml").read_text())
    short = {"epochs": 1, "batch": 12, "side": 32}
    fields["backbone"], fields["side"] = "small_resnet", 32
    fields["views"] = {"count": 1, "side": 32}
    fields["unsplit"] = [{"learning_rate": 1e-3} | short]
    fields["split"] = [phase | short for phase in fields["split"]]
    if "rates" in fields["coding"]:
        fields["coding"]["rates"] = fields["coding"]["rates"][:2]
    return Recipe.model_validate(fields)


def trained(folder: Path, run: Path, name: str = "classify"):
    request = Request(folder, tiny(name), run)
    started = start(request, lambda line: None)
    return request, started, list(models(started, request, lambda line: None))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(p.stem for p in RECIPES.glob("*.toml")))
def test_every_recipe_trains_and_becomes_a_bundle_or_says_why_not(folder, tmp_path, name):
    pytest.importorskip("compressai", reason="GDN needs the train extra")
    request, started, found = trained(folder, tmp_path / "run", name)
    coding = request.recipe.coding
    assert len(found) == (1 if coding.variable else len(coding.rates))
    if coding.kind != "rated":
        with pytest.raises(ConfigError, match="bench rd"):
            export(tmp_path / "bundle", name, found[0], started, request.recipe, {})
        return
    manifest = export(tmp_path / "bundle", name, found[0], started, request.recipe, {"seed": 0})
    assert len(manifest.operating_points) == request.recipe.points


def test_the_same_seed_gives_the_same_bundle(folder, tmp_path):
    digests = []
    for attempt in ("a", "b"):
        request, started, (model,) = trained(folder, tmp_path / attempt)
        recipe = request.recipe
        manifest = export(tmp_path / attempt / "bundle", "x", model, started, recipe, {"seed": 0})
        digests.append(manifest.digest)
    assert digests[0] == digests[1]


def test_a_run_that_is_asked_again_only_reads(folder, tmp_path):
    request, _, (model,) = trained(folder, tmp_path)
    said = []
    started = start(request, said.append)
    (again,) = models(started, request, said.append)
    assert not any("epoch" in line for line in said)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_without_a_teacher_a_recipe_that_splits_one_says_what_to_give(folder, tmp_path):
    with pytest.raises(ConfigError, match="give --teacher, or --unsplit"):
        start(Request(folder, load_recipe("patch_n4"), tmp_path), lambda line: None)


@pytest.mark.slow
def test_two_processes_end_with_one_network(tmp_path):
    torch.multiprocessing.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    first, second = (json.loads((tmp_path / f"rank{r}.json").read_text()) for r in (0, 1))
    assert first == pytest.approx(second)


@pytest.mark.slow
def test_a_cluster_leaves_what_one_process_goes_on_from(folder, tmp_path):
    pytest.importorskip("ray.train.torch", reason="needs the train extra")
    import ray

    from narrows.training.cluster import train_on_cluster

    request = Request(folder, tiny("classify"), tmp_path / "run")
    with ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False):
        train_on_cluster(request, workers=2)
    said = []
    started = start(request, said.append)
    (model,) = models(started, request, said.append)
    assert not any("epoch" in line for line in said)
    assert all(torch.isfinite(t).all() for t in model.state_dict().values())
