"""Multi-task networks: one body for all heads, branches of their own, answers in seen pixels."""

import numpy as np
import pytest
import torch
from torch import nn

from narrows.errors import ConfigError
from narrows.models.backbones import build_backbone
from narrows.models.backbones.backbone import stage_outputs
from narrows.models.bundle import TailRunner
from narrows.models.tail import build_tail, build_unsplit, outputs
from narrows.models.tasks import TaskHeads
from narrows.models.tasks.detection import KINDS, DetectionHead, read
from narrows.models.tasks.segmentation import KINDS as SEGMENTERS
from narrows.models.tasks.segmentation import SegmentationHead
from narrows.models.tasks.yolox import YoloxHead

LABELS = 4
CONFIG = {
    "backbone": "small_resnet", "labels": LABELS, "stride": 8, "channels": 6,
    "decoder": {"kind": "slim"},
    "tasks": {"detection": {"labels": 3, "width": 64}, "segmentation": {"labels": 5, "width": 16}},
}  # fmt: skip
ALL = ("classification", "detection", "segmentation")


def pictures(count: int = 2, height: int = 64, width: int = 96) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.fixture
def runner() -> TailRunner:
    torch.manual_seed(0)
    return TailRunner(build_unsplit(CONFIG), build_tail(CONFIG))


def test_every_task_answers_at_once_in_the_pictures_pixels(runner):
    sizes = [(60, 90), (64, 96)]
    for answer, (height, width) in zip(
        runner.unsplit_answers(pictures(), sizes, ALL), sizes, strict=True
    ):
        assert answer.probabilities.shape == (LABELS,)
        assert answer.probabilities.sum() == pytest.approx(1, abs=1e-4)
        assert answer.mask.shape == (height, width)
        assert answer.mask.dtype == np.uint8
        found = answer.detections
        assert (found.boxes <= (width, height) * 2).all()
        assert (found.boxes >= 0).all()
        assert (np.diff(found.scores) <= 0).all()
        assert len(found.boxes) == len(found.scores) == len(found.classes)


@pytest.mark.parametrize("size", [(0, 0), (10_000, 10_000)])
def test_a_size_nobody_told_or_a_lie_is_the_padded_one(runner, size):
    (answer,) = runner.unsplit_answers(pictures(1), [size], ALL)
    assert answer.mask.shape == (64, 96)


def test_the_body_runs_once_and_only_wanted_heads_run(runner):
    calls = {"body": 0, "detection": 0, "segmentation": 0}
    network = runner.unsplit

    def count(name):
        def hook(*_):
            calls[name] += 1

        return hook

    network.rest[0][0].register_forward_hook(count("body"))
    for task in ("detection", "segmentation"):
        network.tasks.heads[task].register_forward_hook(count(task))
    (answer,) = runner.unsplit_answers(pictures(1), [(64, 96)], ALL)
    assert calls == {"body": 1, "detection": 1, "segmentation": 1}
    (answer,) = runner.unsplit_answers(pictures(1), [(64, 96)], ("segmentation",))
    assert calls == {"body": 2, "detection": 1, "segmentation": 2}
    assert answer.probabilities is None
    assert answer.detections is None


def test_a_split_answers_as_the_unsplit_network_would_from_the_same_features(runner):
    torch.manual_seed(1)
    unsplit, tail = build_unsplit(CONFIG).eval(), build_tail(CONFIG).eval()
    tail.rest.load_state_dict(unsplit.rest.state_dict())
    tail.tasks.load_state_dict(unsplit.tasks.state_dict())
    features = torch.randn(1, unsplit.cut_channels, 8, 12)
    with torch.no_grad():
        ours, theirs = outputs(tail, features, ALL), outputs(unsplit, features, ALL)
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1]["segmentation"], theirs[1]["segmentation"])
    assert torch.equal(ours[1]["detection"][0]["boxes"], theirs[1]["detection"][0]["boxes"])
    assert ours[2] == (64, 96)


@pytest.mark.parametrize("branch", [1, 2, 3])
def test_a_branch_has_the_stages_after_it_for_itself(branch):
    backbone = build_backbone("small_resnet", LABELS)
    body = backbone.rest[0]
    config = {"segmentation": {"labels": 2, "branch": branch}}
    heads = TaskHeads(config, body, backbone.cut_channels, 8)
    own = list(heads.private["segmentation"]) if branch < 3 else []
    assert len(own) == 3 - branch
    shared = [torch.randn(1, c, s, s) for c, s in ((96, 8), (144, 4), (208, 2))]
    for module in own:  # no weight of its own is the shared body's
        assert not {id(p) for p in module.parameters()} & {id(p) for p in body.parameters()}
    maps = heads.eval().maps("segmentation", shared)
    assert [m.shape[1:] for m in maps] == [s.shape[1:] for s in shared]
    assert all(torch.equal(m, s) for m, s in zip(maps[:branch], shared, strict=False))
    assert heads(shared, (64, 64), ("segmentation",))["segmentation"].shape == (1, 2, 8, 8)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"depth": {"labels": 2}}, "depth.*choose one of: detection, segmentation"),
        ({"detection": {"labels": 2, "kind": "yolo"}}, "yolo.*fcos"),
        ({"detection": {"labels": 2, "width": 48}}, "48 wide"),
        ({"segmentation": {"labels": 2, "kind": "unet"}}, "unet.*lraspp"),
        ({"detection": {"labels": 2, "widht": 3}}, "widht"),
        ({"detection": {"labels": 2, "branch": 4}}, "branch 4: the body has stages 1 to 3"),
    ],
)
def test_a_wrong_head_is_refused_by_what_is_wrong(config, said):
    backbone = build_backbone("small_resnet", LABELS)
    with pytest.raises(ConfigError, match=said):
        TaskHeads(config, backbone.rest[0], backbone.cut_channels, 8)


def synthetic(count: int, generator: torch.Generator) -> tuple[list[torch.Tensor], list[dict]]:
    """Maps at strides 8, 16, 32 of 64 x 64 pictures in which a bright square is class 1."""
    picture = torch.randn(count, 1, 64, 64, generator=generator) * 0.1
    targets = []
    for i in range(count):
        x, y = torch.randint(0, 40, (2,), generator=generator).tolist()
        picture[i, :, y : y + 24, x : x + 24] += 1
        box = torch.tensor([[x, y, x + 24.0, y + 24.0]])
        targets.append({"boxes": box, "labels": torch.tensor([1])})
    cells = [nn.functional.pixel_unshuffle(picture, 8)]
    for _ in range(2):
        cells.append(nn.functional.avg_pool2d(cells[-1], 2))
    return cells, targets


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_detector_learns_to_find_a_square(kind):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    head = DetectionHead(2, (64, 64, 64), (8, 16, 32), kind, width=64, convs=1)
    optimiser = torch.optim.AdamW(head.parameters(), 2e-3)
    batch = 2 if kind == "faster_rcnn" else 8  # whose regions are many as it is
    for _ in range(60):
        maps, targets = synthetic(batch, generator)
        loss = head.train()(maps, (64, 64), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    maps, targets = synthetic(8, generator)
    hits = 0
    with torch.no_grad():
        for found, target in zip(head.eval()(maps, (64, 64), None), targets, strict=True):
            best = read(found, (64, 64))
            if len(best.boxes) and best.classes[0] == 1:
                hits += np.abs(best.boxes[0] - target["boxes"][0].numpy()).max() < 8
    assert hits >= 6


@pytest.mark.parametrize("kind", SEGMENTERS)
def test_every_segmenter_gives_logits_at_the_first_maps_resolution(kind):
    head = SegmentationHead(5, (96, 144, 208), (8, 16, 32), kind, width=16).eval()
    maps = [torch.randn(2, c, s, 2 * s) for c, s in ((96, 8), (144, 4), (208, 2))]
    assert head(maps).shape == (2, 5, 8, 16)


def test_yolox_reads_a_box_at_its_place():
    torch.manual_seed(0)
    head = YoloxHead(labels=3, channels=(64, 128, 256), strides=(8, 16, 32)).eval()
    for level in head.levels:
        for part in (level.box, level.object, level.classes[-1]):
            nn.init.zeros_(part.weight)
            nn.init.constant_(part.bias, -20.0 if part is not level.box else 0.0)
    maps = [torch.zeros(1, c, 96 // s, 128 // s) for c, s in ((64, 8), (128, 16), (256, 32))]
    assert not len(head(maps, (96, 128), None)[0]["boxes"])
    nn.init.constant_(head.levels[1].object.bias, 20.0)
    nn.init.constant_(head.levels[1].classes[-1].bias[1:2], 20.0)
    nn.init.constant_(head.levels[1].box.bias[:2], 0.5)
    (found,) = head(maps, (96, 128), None)
    assert len(found["boxes"]) == 6 * 8  # each position of 1/16; none overlaps another
    assert set(found["labels"].tolist()) == {1}
    assert found["boxes"].amin(0).tolist() == [0, 0, 16, 16]
    assert found["boxes"].amax(0).tolist() == [112, 80, 128, 96]
    with pytest.raises(ConfigError, match="as trained"):
        head(maps, (96, 128), [])


def test_deeplabs_body_keeps_a_sixteenth_of_the_side():
    backbone = build_backbone("mobilenet_v2_tf16", 5).eval()
    maps = backbone.front(torch.zeros(1, 3, 96, 64))
    assert maps.shape == (1, backbone.cut_channels, 12, 8)
    first, last = stage_outputs(backbone.rest[0], maps)
    assert first.shape[2:] == last.shape[2:] == (6, 4)
    assert last.shape[1] == backbone.body_channels


def test_yolox_focuses_every_second_pixel_and_keeps_odd_maps():
    backbone = build_backbone("yolox_nano", 1).eval()
    focused = backbone.front[0][0](torch.arange(48.0).view(1, 3, 4, 4))
    assert focused[0, ::3, 0, 0].tolist() == [0, 4, 1, 5]  # down, then right
    head = YoloxHead(labels=2, channels=(64, 128, 256), strides=(8, 16, 32)).eval()
    maps = list(stage_outputs(backbone.rest[0], backbone.front(torch.zeros(1, 3, 80, 112))))
    assert [tuple(m.shape[2:]) for m in head.neck(*maps)] == [(10, 14), (5, 7), (3, 4)]
