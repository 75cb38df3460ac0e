"""Annotated photographs: crops keep what they know in step, and a run ends in a bundle."""

import json
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")

from annotated import LABELS, write_set
from safetensors.torch import save_file

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.images.annotated import AnnotatedImages
from narrows.images.annotations import UNKNOWN
from narrows.models.bundle import load_weights
from narrows.models.tail import build_unsplit
from narrows.simulations.scene_evaluation import Translation, measured_scenes, print_scenes
from narrows.simulations.training_session import run_training
from narrows.training.export import export
from narrows.training.recipe import RECIPES, Recipe, load_recipe, tomllib
from narrows.training.run import Request, models, start
from narrows.training.scenes import load_scenes, merged_labels
from narrows.training.split import SplitModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("squares"))


def test_boxes_masks_and_pixels_of_a_crop_belong_together(folder):
    scenes = load_scenes([AnnotatedImages(folder)], "train", 44, 2.0)
    seen = 0
    for batch in (b for seed in range(12) for b in scenes.batches(6, 64, seed)):
        for pixels, boxes, mask in zip(batch.pixels, batch.boxes, batch.masks, strict=True):
            for (x0, y0, x1, y1), label in zip(boxes["boxes"], boxes["labels"], strict=True):
                marked = torch.nonzero(mask == label + 1)
                (top, left), (bottom, right) = marked.amin(0), marked.amax(0) + 1
                found = torch.tensor([left, top, right, bottom]).float()
                assert (found - torch.stack([x0, y0, x1, y1])).abs().max() <= 2.5
                inside = pixels[:, mask == label + 1].mean(1)
                assert inside.argmax() == label  # its colour
                seen += 1
    assert seen > 50


def test_a_seed_is_an_epoch_and_each_photograph_comes_once(folder):
    scenes = load_scenes([AnnotatedImages(folder)], "train", 44, 2.0)
    once, again, other = (next(scenes.batches(12, 32, seed)) for seed in (1, 1, 2))
    assert torch.equal(once.pixels, again.pixels)
    assert not torch.equal(once.pixels, other.pixels)
    assert sorted(once.targets.tolist()) == [0] * 6 + [1] * 6


def test_sets_of_other_classes_become_one(folder, tmp_path):
    other = write_set(tmp_path / "other", seed=1)
    text = (other / "classes.json").read_text().replace('"red"', '"blue"')
    (other / "classes.json").write_text(text)
    sets = [AnnotatedImages(folder), AnnotatedImages(other)]
    labels = merged_labels(sets)
    assert labels["detection"] == ("red", "green", "blue")
    assert labels["segmentation"] == ("background", "red", "green", "blue")
    scenes = load_scenes(sets, "val", 44, 2.0)
    theirs = [s for s in scenes.scenes[4:] if s.label == 2]
    assert len(theirs) == 2
    assert all(set(np.unique(s.mask)) == {0, 3} for s in theirs)
    assert all(s.classes.tolist() == [2] for s in theirs)


def tiny_toml() -> str:
    """The shipped recipe, an epoch a phase on small pictures, at two rates."""
    text = (RECIPES / "scene.toml").read_text()
    for key, value in (("epochs", 1), ("batch", 6), ("side", 32)):
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    text = re.sub(r"^rates = .*$", "rates = [1.0, 4.0]", text, flags=re.MULTILINE)
    return text.replace('backbone = "small_resnet"', 'backbone = "small_resnet"\nside = 44')


def tiny() -> Recipe:
    return Recipe.model_validate(tomllib.loads(tiny_toml()))


def test_a_run_ends_in_a_bundle_with_every_tasks_score(folder, tmp_path, capsys):
    out = tmp_path / "squares"
    run_training(Request(folder, tiny(), tmp_path / "run"), out, None, 1, True)
    manifest = Manifest.load(out)
    manifest.verify_files(out)
    assert {k: list(v) for k, v in manifest.labels_of.items()} == LABELS
    for point in manifest.operating_points:
        assert set(point.scores_of) == set(LABELS)
        assert point.packet_bytes > 22
    assert set(manifest.unsplit_scores_of) == set(LABELS)
    capsys.readouterr()
    figures = measured_scenes(out, [AnnotatedImages(folder)], "val", codecs=("jpeg",))
    assert figures["frames"] == 4
    assert figures["metrics"] == {
        "classification": "top-1", "detection": "mAP", "segmentation": "mIoU",
    }  # fmt: skip
    sizes = [row["bytes"] for row in figures["jpeg"]]
    assert sizes == sorted(sizes)
    print_scenes(figures)
    assert "segmentation, mIoU" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["hnd_faster_rcnn", "ghnd_retinanet"])
def test_a_detectors_bottleneck_imitates_and_its_detector_stays(folder, tmp_path, name):
    fields = tomllib.loads((RECIPES / f"{name}.toml").read_text())
    short = {"epochs": 1, "batch": 6, "side": 32}
    fields |= {"backbone": "small_resnet", "side": 44}
    fields["tasks"]["detection"] |= {"width": 64, "convs": 1}
    for phases in ("unsplit", "split"):
        fields[phases] = [phase | short for phase in fields[phases]]
    request = Request(folder, Recipe.model_validate(fields), tmp_path / "run")
    started = start(request, lambda line: None)
    (model,) = models(started, request, lambda line: None)
    kept, taught = model.tail.tasks.state_dict(), started.unsplit.tasks.state_dict()
    assert all(torch.equal(kept[key], taught[key]) for key in taught)
    assert model.tail_config["tasks"]["detection"]["kind"] == name.split("_", 1)[1]


def test_a_run_for_one_task_knows_of_no_other(folder, tmp_path):
    request = Request(folder, tiny(), tmp_path / "run", tasks=("segmentation",))
    started = start(request, lambda line: None)
    assert set(started.data.labels_of) == {"segmentation"}
    assert all(s.label == -1 and s.boxes is None for s in started.data.scenes)
    assert set(started.unsplit.tasks.heads) == {"segmentation"}
    with pytest.raises(ConfigError, match="the photographs tell classification"):
        start(Request(folder, tiny(), tmp_path / "no", tasks=("depth",)), lambda line: None)
    with pytest.raises(ConfigError, match="another recipe"):
        start(Request(folder, tiny(), tmp_path / "run"), lambda line: None)


def test_a_bundles_network_is_split_anew_for_one_of_its_tasks(folder, tmp_path):
    out = tmp_path / "squares"
    run_training(Request(folder, tiny(), tmp_path / "run"), out, None, 1, True)
    request = Request(folder, tiny(), tmp_path / "one", unsplit=out, tasks=("detection",))
    one = tmp_path / "boxes"
    run_training(request, one, None, 1, True)
    manifest, whole = Manifest.load(one), Manifest.load(out)
    assert set(manifest.labels_of) == {"detection"}
    assert manifest.unsplit_scores_of["detection"] == whole.unsplit_scores_of["detection"]
    assert manifest.provenance["unsplit"] == "squares"
    other = write_set(tmp_path / "other")
    text = (other / "classes.json").read_text().replace('"red"', '"blue"')
    (other / "classes.json").write_text(text)
    with pytest.raises(ConfigError, match="its classes of"):
        start(Request(other, tiny(), tmp_path / "bad", unsplit=out), lambda line: None)


@pytest.mark.parametrize(
    ("name", "recipe"), [("yolox_nano", "yolox"), ("mobilenet_v2_tf16", "deeplab")]
)
def test_a_pretrained_network_is_split_without_labels(folder, tmp_path, name, recipe):
    fields = tomllib.loads((RECIPES / f"{recipe}.toml").read_text()) | {"side": 64}
    fields["split"] = [p | {"epochs": 1, "batch": 6, "side": 64} for p in fields["split"]]
    loaded = Recipe.model_validate(fields)
    (kind,) = loaded.tasks
    labels = {kind: ["red", "green", "zebra"]}
    head = {"labels": 3} | loaded.tasks[kind].head
    network = build_unsplit({"backbone": name, "labels": 0, "stride": 8, "tasks": {kind: head}})
    weights = {
        k: t for k, t in network.state_dict().items()
        if not k.startswith("rest.1.") and not k.endswith("tracked")
    }  # fmt: skip
    file = tmp_path / "weights.safetensors"
    save_file(weights, file, {"labels": json.dumps(labels)})
    request = Request(folder, loaded, tmp_path / "run", name, file)
    started = start(request, lambda line: None)
    assert all(s.label == -1 and s.boxes is s.mask is None for s in started.data.scenes)
    (model,) = models(started, request, lambda line: None)
    kept = model.tail.tasks.state_dict()
    assert all(torch.equal(kept[k], weights[f"tasks.{k}"]) for k in kept if "tracked" not in k)
    out = tmp_path / "injected"
    export(out, "injected", model, started, loaded, {})
    assert Manifest.load(out).labels_of == {kind: ("red", "green", "zebra")}

    for text, said in ((None, "no `labels`"), ({"labels": json.dumps({kind: ["red"]})}, "fit")):
        save_file(weights, file, text)
        with pytest.raises(ConfigError, match=said):
            start(Request(folder, loaded, tmp_path / "bad", name, file), lambda line: None)


def test_a_teacher_is_of_no_use_to_an_annotated_set(folder, tmp_path):
    request = Request(folder, tiny(), tmp_path / "run", teacher="mobilenet_v2")
    with pytest.raises(ConfigError, match="of no use to annotated"):
        start(request, lambda line: None)
    request = Request(folder, load_recipe("ours"), tmp_path / "other")
    with pytest.raises(ConfigError, match="splits a pretrained network"):
        start(request, lambda line: None)


def test_classes_meet_by_name_and_strangers_are_nobodys_mistake(folder):
    images = AnnotatedImages(folder)
    ours = {"detection": ("car", "Green"), "segmentation": ("background", "road", "red")}
    translation = Translation(images, ours)
    assert set(translation.tables) == {"detection", "segmentation"}
    green = next(a for a in images.of_part("val") if a.label == 1)
    truth = translation.truth(images, green)
    assert truth.label is None
    assert truth.boxes.classes.tolist() == [1]
    assert truth.boxes.unseen == {0}  # a car would be no mistake here
    assert set(np.unique(truth.mask)) == {0, UNKNOWN}
    with pytest.raises(ConfigError, match="none of its classes"):
        Translation(images, {"detection": ("car",)})


def test_networks_begin_from_a_bundles(folder, tmp_path):
    shipped = RECIPES.parents[3] / "models" / "zoo" / "classify"
    if not shipped.exists():
        pytest.skip("the shipped bundle is not beside this package")
    request = Request(folder, tiny(), tmp_path / "run", begin=shipped)
    begun = start(request, lambda line: None).unsplit
    plain = start(Request(folder, tiny(), tmp_path / "plain"), lambda line: None).unsplit
    name = "front.0.0.0.weight"
    wanted = load_weights(shipped, "unsplit")[name]
    assert (begun.state_dict()[name] - wanted).abs().mean() < 0.1 * wanted.abs().mean()
    assert (plain.state_dict()[name] - wanted).abs().mean() > 0.3 * wanted.abs().mean()

    model = SplitModel(tiny(), begun, "small_resnet", (1.0,))
    model.begin(shipped)
    head, pixels = load_weights(shipped, "head"), torch.rand(1, 3, 64, 64) * 255
    mine = model.head.tensors()
    assert mine.keys() == head.keys()
    assert all(torch.equal(mine[k], head[k]) for k in mine)
    assert model.head(pixels).std() > 0
    first = "0.0.0.weight"
    steps = load_weights(shipped, "tables")["gain"]
    six = load_recipe("scene").coding.rates
    model = SplitModel(load_recipe("scene"), begun, "small_resnet", six)
    model.begin(shipped)
    assert torch.allclose(model.bottleneck.log_gain.exp(), steps)
    decoder = load_weights(shipped, "tail")[f"decoder.{first}"]
    assert torch.equal(model.tail.decoder.state_dict()[first], decoder)
