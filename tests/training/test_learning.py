"""The parts of a training run: crops, losses, resuming, the bottleneck's rate."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")

from torch import nn

from narrows.errors import ConfigError
from narrows.images.labelled import Entry
from narrows.training.data import Photographs, random_crop
from narrows.training.log import Log
from narrows.training.loop import decayed_groups, fit
from narrows.training.losses import distilled, relative_error, saliency
from narrows.training.recipe import Loss, Phase, Views, load_recipe
from narrows.training.run import Request, _same_run, partition
from narrows.training.teacher import fit_probe, load_teacher
from narrows.training.views import Batch, Pool, build_pool

RNG = np.random.default_rng(0)


@pytest.fixture
def photographs() -> Photographs:
    pictures = [RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8) for _ in range(23)]
    return Photographs(pictures, torch.arange(23) % 3, ("a", "b", "c"), ("A", "B", "C"))


@pytest.fixture
def pool(photographs, tmp_path) -> Pool:
    views = Views(count=2, side=32, min_scale=0.3)
    return build_pool(photographs, views, None, 1, tmp_path / "views.safetensors", "here")


def test_a_crop_stays_in_range_whatever_the_jitter(photographs):
    for picture in photographs.pictures:
        crop = random_crop(picture, 16, 0.3, RNG)
        assert crop.shape == (3, 16, 16)
        assert 0 <= crop.min() <= crop.max() <= 255


def test_an_epoch_shows_every_photograph_at_most_once(pool):
    epoch = list(pool.batches(batch=5, side=16, seed=1))
    assert len(epoch) == 4
    for batch in epoch:
        assert batch.pixels.shape == (5, 3, 16, 16)
        assert batch.targets.shape == (5,)
    seen = torch.cat([b.targets for b in epoch]).bincount()
    assert seen.max() <= (torch.arange(23) % 3).bincount().max()


def test_the_same_seed_gives_the_same_epoch_and_another_does_not(pool):
    first, again, other = (next(pool.batches(5, 16, seed)) for seed in (1, 1, 2))
    assert torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels, other.pixels)


def test_a_pool_is_read_again_only_for_the_same_photographs_views_and_seed(photographs, tmp_path):
    cache = tmp_path / "views.safetensors"
    views = Views(count=1, side=32)
    made = build_pool(photographs, views, None, 1, cache, "here")
    stamp = cache.stat().st_mtime_ns
    read = build_pool(photographs, views, None, 1, cache, "here")
    assert cache.stat().st_mtime_ns == stamp
    assert torch.equal(made.pixels, read.pixels)
    assert not torch.equal(
        made.pixels, build_pool(photographs, views, None, 2, cache, "here").pixels
    )


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


def answered(logits=None, maps=None) -> Batch:
    return Batch(torch.zeros(1, 3, 8, 8), torch.tensor([0]), logits, maps)


def test_agreeing_with_the_teacher_costs_less():
    taught = torch.tensor([[3.0, 0.0, -1.0]])
    batch = answered(taught)
    assert distilled(taught, batch, Loss()) < distilled(-taught, batch, Loss())


def test_relative_error_is_one_for_the_mean_and_zero_for_the_truth():
    wanted = torch.randn(4, 5, 6, 6)
    assert relative_error(wanted, wanted) == 0
    assert relative_error(wanted.mean().expand_as(wanted), wanted) == pytest.approx(1, abs=0.02)


def test_saliency_is_highest_where_the_class_is_seen():
    from narrows.models.backbones import build_backbone

    backbone = build_backbone("small_resnet", 3)
    maps = torch.zeros(1, backbone.body_channels, 4, 4)
    maps[0, :, 1, 2] = torch.relu(backbone.classifier.weight[0]).detach()
    weight = saliency(answered(maps=maps), backbone)
    assert weight.flatten().argmax() == 6
    assert weight.min() >= 0.5
    assert weight.max() == 1


def run(pool, state, epochs_now, epochs=3) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    phase = Phase(epochs=epochs, batch=5, learning_rate=1e-2, side=32)
    finished = []

    def say(line: str) -> None:
        finished.append(line)
        if len(finished) == epochs_now:
            raise KeyboardInterrupt

    def step(batch, share):
        return nn.functional.cross_entropy(model(batch.pixels / 255), batch.targets)

    log = Log(state.parent, say)
    fit(model, decayed_groups(model, phase), step, pool, phase, 7, state, log)
    return model


def test_a_resumed_run_ends_where_an_unbroken_one_does(pool, tmp_path):
    whole = run(pool, tmp_path / "whole.safetensors", epochs_now=99)
    with pytest.raises(KeyboardInterrupt):
        run(pool, tmp_path / "broken.safetensors", epochs_now=1)
    resumed = run(pool, tmp_path / "broken.safetensors", epochs_now=99)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_run_directory_belongs_to_one_recipe_and_seed(tmp_path):
    request = Request(tmp_path, load_recipe("classify"), tmp_path / "run")
    _same_run(request)
    _same_run(request)
    with pytest.raises(ConfigError, match="another recipe, seed or teacher"):
        _same_run(Request(tmp_path, load_recipe("classify"), tmp_path / "run", seed=1))


def test_the_rate_in_training_is_the_rate_of_the_real_coder():
    from narrows.kernels import coder
    from narrows.kernels.coder.reference import quantise
    from narrows.models.bottlenecks.rate import RatedBottleneck

    torch.manual_seed(0)
    bottleneck = RatedBottleneck(4, (0.1, 1.0), finest_gain=3.0)
    latent = torch.randn(8, 4, 12, 12) * torch.tensor([0.2, 0.5, 1.0, 2.0]).view(1, 4, 1, 1)
    for _ in range(300):  # the histograms follow what they see
        received, _ = bottleneck(latent)
    assert (received - latent).abs().max() < 0.5 / bottleneck.log_gain.exp().min() + 1e-5
    _, bits = bottleneck.eval()(latent)
    for point, coding in enumerate(bottleneck.point_codings(count=1e3)):
        frames = latent.chunk(2)[point].numpy()
        sizes = [
            coder.cost_bits(quantise(f, coding.gain, coding.median), coding.tables.arrays)
            for f in frames
        ]
        assert np.mean(sizes) == pytest.approx(bits[point].item(), rel=0.05)


def test_less_rate_is_where_the_gradient_points():
    from narrows.models.bottlenecks.rate import RatedBottleneck

    torch.manual_seed(0)
    bottleneck = RatedBottleneck(2, (1.0,))
    latent = (torch.randn(4, 2, 8, 8) * 2).requires_grad_()
    for _ in range(200):
        bottleneck(latent.detach())
    _, bits = bottleneck(latent)
    bits.sum().backward()
    assert (latent.grad * latent.sign()).mean() > 0  # smaller values are cheaper


def test_tables_are_those_of_the_latents_they_were_measured_on():
    from narrows.models.bottlenecks.rate import RatedBottleneck

    torch.manual_seed(0)
    bottleneck = RatedBottleneck(3, (1.0, 4.0))
    latents = [torch.randn(1, 3, 10, 10) for _ in range(20)]
    bottleneck.measure(latents)
    symbols = torch.cat([(y[0, 0] * bottleneck.log_gain[0, 0].exp()).round() for y in latents])
    share = (symbols == 0).float().mean()
    assert bottleneck.histogram[0, 0, 64] == pytest.approx(share.item(), abs=1e-6)


def test_uniform_packing_gives_back_the_rounded_latent_in_so_many_bits():
    from narrows.errors import TruncatedPacket
    from narrows.models.bottlenecks.uniform import UniformBottleneck, pack, unpack

    torch.manual_seed(0)
    for bits in (1, 3, 8):
        latent = torch.randn(1, 5, 7, 9)
        received, rate = UniformBottleneck((bits,))(latent)
        data = pack(latent[0].numpy(), bits)
        assert len(data) == 8 + -(-5 * 7 * 9 * bits // 8)
        assert rate.item() == 5 * 7 * 9 * bits
        np.testing.assert_allclose(unpack(data, bits, (5, 7, 9)), received[0].numpy(), atol=1e-5)
        with pytest.raises(TruncatedPacket, match="resend"):
            unpack(data[:-1], bits, (5, 7, 9))


def test_a_teacher_answers_in_the_labels_at_hand_and_refuses_strange_weights(tmp_path):
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = torchvision.models.mobilenet_v2().state_dict()
    save_file({k: v for k, v in state.items() if "tracked" not in k}, tmp_path / "w.safetensors")
    plain = [np.full((140, 140, 3), 80 * c + 20, np.uint8) for c in range(3) for _ in range(12)]
    data = Photographs(plain, torch.arange(36) // 12, ("a", "b", "c"), ("A", "B", "C"))
    teacher = load_teacher("mobilenet_v2_tf", tmp_path / "w.safetensors", 3)
    views = Views(count=1, side=64)
    pool = build_pool(data, views, teacher, 0, tmp_path / "views.safetensors", "here")
    assert pool.logits.shape == (36, 3)
    assert pool.maps.shape == (36, 1280, 4, 4)
    save_file({"x": torch.zeros(1)}, tmp_path / "bad.safetensors")
    with pytest.raises(ConfigError, match="not this network's weights"):
        load_teacher("mobilenet_v2", tmp_path / "bad.safetensors", 3)
    with pytest.raises(ConfigError, match="give --teacher-weights"):
        load_teacher("mobilenet_v2_tf", None, 3)
    with pytest.raises(ConfigError, match=r"choose one of: .*mobilenet_v2"):
        load_teacher("oracle", None, 3)


def test_a_probe_separates_what_is_separable():
    from narrows.models.backbones import build_backbone

    backbone = build_backbone("small_resnet", 3)
    targets = torch.arange(60) % 3
    features = torch.randn(60, backbone.body_channels) * 0.1
    features[torch.arange(60), targets] += 3
    assert fit_probe(backbone, features, targets) == 1


@pytest.mark.parametrize("stride", [4, 8])
def test_the_teacher_as_tensorflow_runs_it_pads_on_the_right(stride):
    """At even sides TensorFlow's SAME is torchvision's convolution of the picture moved by one."""
    from narrows.models.backbones import build_backbone

    ours = build_backbone("mobilenet_v2_tf", 3, stride).front[0][0]
    x = torch.randn(1, 3, 8, 8)
    padded = nn.functional.pad(x, (0, 1, 0, 1))
    expected = nn.functional.conv2d(padded, ours.weight, stride=2)
    assert torch.allclose(ours(x), expected, atol=1e-6)
