"""Networks cut in two: shapes, costs, and the head's three forms."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")

from torch.utils.flop_counter import FlopCounterMode

from narrows.edge.head import OnnxHead
from narrows.errors import ConfigError
from narrows.models.backbones import BACKBONES, build_backbone
from narrows.models.bottlenecks import build_decoder, build_encoder
from narrows.models.head import Head, multiply_adds
from narrows.models.onnx_head import build_onnx_head
from narrows.models.tail import build_tail

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


SHAPES = torch.device("meta")  # tensors without numbers: what is asked of them is their shape


def flops(module, shape) -> int:
    with SHAPES, FlopCounterMode(display=False) as counter, torch.no_grad():
        module().eval()(torch.zeros(shape))
    return counter.get_total_flops()


@pytest.mark.parametrize("name", BACKBONES)
def test_a_slim_tail_costs_no_more_than_the_unsplit_backbone(name):
    decoder = {"kind": "slim", "blocks": 1 if name == "small_resnet" else 0}
    config = {"backbone": name, "labels": 10, "stride": 8, "channels": 48, "decoder": decoder}
    tail = flops(lambda: build_tail(config), (1, 48, 28, 28))
    assert 0 < tail <= flops(lambda: build_backbone(name, 10), (1, 3, 224, 224))


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("size", [(64, 64), (72, 40), (8, 8)])
def test_any_multiple_of_the_stride_goes_through(name, size, stride):
    with SHAPES, torch.no_grad():
        backbone = build_backbone(name, 3, stride).eval()
        features = backbone.front(torch.zeros(1, 3, *size))
        assert features.shape == (1, backbone.cut_channels, size[0] // stride, size[1] // stride)
        assert backbone.rest[0](features).shape[1] == backbone.body_channels
        assert backbone(torch.zeros(1, 3, *size)).shape == (1, 3)


def test_an_unknown_backbone_lists_the_known():
    with pytest.raises(ConfigError, match="small_resnet"):
        build_backbone("alexnet", 3)


PUBLISHED = {  # parameters, multiply-adds at 224 x 224, latent: as counted from the authors' code
    "entropic_student": ({"kind": "entropic_student"}, 138_672, 588e6, (24, 55, 55)),
    "ghnd": ({"kind": "stem"}, 157_632, 623e6, (3, 60, 60)),
    "frankensplit": ({"kind": "residual"}, 141_696, 530e6, (48, 28, 28)),
    "n0": (
        {"kind": "patch", "channels": 64, "width": 128, "blocks": 0, "activation": "gelu"},
        32_960, 25.7e6, (64, 28, 28),
    ),
    "n4": (
        {"kind": "patch", "channels": 64, "width": 128, "blocks": 4, "activation": "gelu"},
        623_552, 488e6, (64, 28, 28),
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", PUBLISHED)
def test_published_encoders_have_their_published_size(method):
    pytest.importorskip("compressai", reason="GDN needs the train extra")
    config, parameters, macs, latent = PUBLISHED[method]
    head = Head(build_encoder(config, (MEAN, STD))).eval()
    tensors = head.tensors()
    zeros = sum(t.numel() for n, t in tensors.items() if n.endswith("bias") and not t.any())
    counted = sum(t.numel() for t in tensors.values()) - zeros
    assert counted == pytest.approx(parameters, rel=0.005)
    assert multiply_adds(head.layers(), tensors, 224) == pytest.approx(macs, rel=0.005)
    with torch.no_grad():
        assert head(torch.zeros(1, 3, 224, 224)).shape[1:] == latent


HEADS = [
    *(config for config, *_ in PUBLISHED.values()),
    {"kind": "ensemble", "members": 2},
    {"kind": "patch", "channels": 5, "width": 12, "hidden": 8, "blocks": 2},
    {"kind": "patch", "channels": 5, "blocks": 1, "deep_width": 16, "deep_hidden": 8,
     "deep_blocks": 1},
]  # fmt: skip


def with_statistics(head: Head) -> Head:
    """Norms as after training: folding one that does nothing would prove nothing."""
    for module in head.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return head.eval()


@pytest.mark.parametrize("size", [(32, 32), (48, 112)])
@pytest.mark.parametrize("config", HEADS, ids=lambda c: c["kind"])
def test_the_onnx_head_computes_what_torch_does(tmp_path, size, config):
    pytest.importorskip("compressai", reason="GDN needs the train extra")
    torch.manual_seed(0)
    head = with_statistics(Head(build_encoder(config, (MEAN, STD))))
    weights = {k: v.numpy() for k, v in head.tensors().items()}
    (tmp_path / "head.onnx").write_bytes(
        build_onnx_head(head.layers(), weights).SerializeToString()
    )
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = head(torch.from_numpy(image).permute(2, 0, 1)[None].float())[0].numpy()
    np.testing.assert_allclose(OnnxHead(tmp_path / "head.onnx").run(image), expected, atol=1e-4)


@pytest.mark.parametrize("config", HEADS, ids=lambda c: c["kind"])
def test_our_kernels_run_a_head_or_say_that_they_cannot(config):
    pytest.importorskip("compressai", reason="GDN needs the train extra")
    from narrows.kernels.head import Head as NativeHead
    from narrows.kernels.head import UnknownLayer

    torch.manual_seed(0)
    head = Head(build_encoder(config, (MEAN, STD))).eval()
    weights = {k: v.numpy() for k, v in head.tensors().items()}
    if config["kind"] in ("stem", "residual", "ensemble"):
        with pytest.raises(UnknownLayer):
            NativeHead(head.layers(), weights)
        return
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = head(torch.from_numpy(image).permute(2, 0, 1)[None].float())[0].numpy()
    np.testing.assert_allclose(NativeHead(head.layers(), weights).run(image), expected, atol=1e-3)


def test_fewer_members_of_an_ensemble_are_its_first():
    head = Head(build_encoder({"kind": "ensemble", "members": 3}, (MEAN, STD))).eval()
    alone = Head(build_encoder({"kind": "ensemble", "members": 1}, (MEAN, STD))).eval()
    alone.load_state_dict({k: head.state_dict()[k] for k in alone.state_dict()})
    pixels = torch.rand(1, 3, 64, 64) * 255
    assert torch.equal(head(pixels, 1), alone(pixels))
    assert not torch.equal(head(pixels, 2), alone(pixels))


@pytest.mark.parametrize(
    ("encoder", "decoder", "stride"),
    [
        ({"kind": "entropic_student"}, {"kind": "entropic_student"}, 4),
        ({"kind": "stem"}, {"kind": "stem"}, 4),
        ({"kind": "residual"}, {"kind": "slim"}, 8),
        ({"kind": "patch", "channels": 8, "deep_width": 8, "deep_hidden": 8},
         {"kind": "slim", "up": 2}, 8),
    ],
)  # fmt: skip
def test_a_decoder_gives_the_cut_its_own_shape(encoder, decoder, stride):
    pytest.importorskip("compressai", reason="GDN needs the train extra")
    head = Head(build_encoder(encoder, (MEAN, STD))).eval()
    backbone = build_backbone("mobilenet_v2", 3, stride).eval()
    pixels = torch.zeros(1, 3, 64, 96)
    decoded = build_decoder(decoder, head.channels, backbone.cut_channels).eval()(head(pixels))
    assert decoded.shape == backbone.front(pixels).shape


def test_our_head_is_a_fraction_of_entropic_students():
    from narrows.training.recipe import load_recipe

    head = Head(build_encoder(load_recipe("classify").encoder, (MEAN, STD)))
    assert multiply_adds(head.layers(), head.tensors(), 224) < 588e6 / 4  # its MACs at 224 x 224
