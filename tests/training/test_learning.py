"""The parts of a training run: crops, losses, resuming, the bottleneck's rate."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")

from torch import nn

from narrows.errors import ConfigError
from narrows.images.labelled import Entry
from narrows.training.data import Photographs, batches
from narrows.training.loop import decayed_groups, fit
from narrows.training.losses import distilled, mixed, relative_error
from narrows.training.recipe import Loss, Phase, load_recipe
from narrows.training.run import Request, _same_run, partition

RNG = np.random.default_rng(0)


@pytest.fixture
def photographs() -> Photographs:
    pictures = [RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8) for _ in range(23)]
    return Photographs(pictures, torch.arange(23) % 3, ("a", "b", "c"), ("A", "B", "C"))


def test_an_epoch_is_all_whole_batches_of_crops_in_range(photographs):
    epoch = list(batches(photographs, batch=5, side=16, min_scale=0.3, seed=1))
    assert len(epoch) == 4
    for pixels, targets in epoch:
        assert pixels.shape == (5, 3, 16, 16)
        assert pixels.min() >= 0 and pixels.max() <= 255  # noqa: PT018
        assert targets.shape == (5,)


def test_the_same_seed_gives_the_same_epoch_and_another_does_not(photographs):
    first, again, other = (next(batches(photographs, 5, 16, 0.3, seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


class Images:
    """Entries with parts, as LabelledImages has them."""

    def __init__(self, *parts: str):
        self.entries = tuple(Entry(f"{p}/x/{i}", "x", p) for p in parts for i in range(20))

    def parts(self):
        return {e.part for e in self.entries}

    def of_part(self, part):
        return tuple(e for e in self.entries if e.part == part)


@pytest.mark.parametrize(
    ("parts", "seen", "kept"),
    [(("train", "val"), 20, 20), (("",), 18, 2), (("test", "train"), 20, 20)],
)
def test_photographs_kept_out_are_never_trained_on(parts, seen, kept):
    trained_on, kept_out, _ = partition(Images(*parts), None)
    assert (len(trained_on), len(kept_out)) == (seen, kept)
    assert not set(trained_on) & set(kept_out)


def test_mixup_keeps_targets_a_distribution_and_without_it_nothing_changes():
    pixels, targets = torch.rand(8, 3, 4, 4), torch.arange(8) % 3
    _, soft = mixed(pixels, targets, 3, 0.4)
    assert torch.allclose(soft.sum(1), torch.ones(8))
    same, hard = mixed(pixels, targets, 3, 0.0)
    assert torch.equal(same, pixels)
    assert torch.equal(hard.argmax(1), targets)


def test_agreeing_with_the_teacher_costs_less():
    taught, soft = torch.tensor([[3.0, 0.0, -1.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    assert distilled(taught, soft, taught, Loss()) < distilled(-taught, soft, taught, Loss())


def test_relative_error_is_one_for_the_mean_and_zero_for_the_truth():
    wanted = torch.randn(4, 5, 6, 6)
    assert relative_error(wanted, wanted) == 0
    assert relative_error(wanted.mean().expand_as(wanted), wanted) == pytest.approx(1, abs=0.02)


def run(photographs, state, epochs_now, epochs=3) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    phase = Phase(epochs=epochs, batch=5, learning_rate=1e-2, sides=(16,))
    finished = []

    def report(line: str) -> None:
        finished.append(line)
        if len(finished) == epochs_now:
            raise KeyboardInterrupt

    def step(pixels, targets, share):
        return nn.functional.cross_entropy(model(pixels / 255), targets)

    fit(model, decayed_groups(model, 1e-2, 0.1), step, photographs, phase, 7, state, report)
    return model


def test_a_resumed_run_ends_where_an_unbroken_one_does(photographs, tmp_path):
    whole = run(photographs, tmp_path / "whole.safetensors", epochs_now=99)
    with pytest.raises(KeyboardInterrupt):
        run(photographs, tmp_path / "broken.safetensors", epochs_now=1)
    resumed = run(photographs, tmp_path / "broken.safetensors", epochs_now=99)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_run_directory_belongs_to_one_recipe_and_seed(tmp_path):
    request = Request(tmp_path, load_recipe("small"), tmp_path / "run", None, None, 0, None)
    _same_run(request)
    _same_run(request)
    with pytest.raises(ConfigError, match="another recipe, seed or teacher"):
        _same_run(Request(tmp_path, load_recipe("small"), tmp_path / "run", None, None, 1, None))


def test_the_rate_in_training_is_the_rate_of_the_real_coder():
    pytest.importorskip("compressai", reason="needs the train extra")
    from narrows.kernels import coder
    from narrows.kernels.coder.reference import quantise
    from narrows.models.bottleneck import RateBottleneck

    torch.manual_seed(0)
    bottleneck = RateBottleneck(4, (0.1, 1.0), finest_gain=3.0)
    latent = torch.randn(8, 4, 12, 12) * torch.tensor([0.2, 0.5, 1.0, 2.0]).view(1, 4, 1, 1)
    optimiser = torch.optim.Adam(
        [p for p in bottleneck.priors.parameters() if p.requires_grad], 0.02
    )
    for _ in range(150):
        optimiser.zero_grad()
        received, bits = bottleneck(latent)
        bits.sum().backward()
        optimiser.step()
    assert (received - latent).abs().max() < 0.5 / bottleneck.log_gain.exp().min() + 1e-5
    for point, coding in enumerate(bottleneck.point_codings()):
        frames = latent.chunk(2)[point].numpy()
        sizes = [
            coder.cost_bits(quantise(f, coding.gain, coding.median), coding.tables.arrays)
            for f in frames
        ]
        assert np.mean(sizes) == pytest.approx(bits[point].item(), rel=0.06)


def test_a_teacher_answers_in_the_labels_at_hand_and_refuses_strange_weights(photographs, tmp_path):
    import torchvision
    from safetensors.torch import save_file

    from narrows.training.teacher import Teacher

    torch.manual_seed(0)
    state = torchvision.models.mobilenet_v2().state_dict()
    save_file({k: v for k, v in state.items() if "tracked" not in k}, tmp_path / "w.safetensors")
    plain = [np.full((140, 140, 3), 80 * c + 20, np.uint8) for c in range(3) for _ in range(12)]
    data = Photographs(plain, torch.arange(36) // 12, ("a", "b", "c"), ("A", "B", "C"))
    teacher = Teacher("mobilenet_v2_tf", tmp_path / "w.safetensors")
    assert 0 <= teacher.fit_probe(data, seed=0) <= 1
    logits, maps = teacher(torch.rand(2, 3, 160, 160) * 255)
    assert logits.shape == (2, 3)
    assert maps.shape == (2, 1280, 4, 4)
    save_file({"x": torch.zeros(1)}, tmp_path / "bad.safetensors")
    with pytest.raises(ConfigError, match="not this network's weights"):
        Teacher("mobilenet_v2", tmp_path / "bad.safetensors")
    with pytest.raises(ConfigError, match="choose one of: mobilenet_v2"):
        Teacher("oracle", None)
