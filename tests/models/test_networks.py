"""Networks cut in two: shapes, costs, and the head's three forms."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the server extra")

from torch.utils.flop_counter import FlopCounterMode

from narrows.edge.head import OnnxHead
from narrows.errors import ConfigError
from narrows.models.backbones import BACKBONES, build_backbone
from narrows.models.head import PatchHead
from narrows.models.onnx_head import build_onnx_head
from narrows.models.tail import build_tail

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def flops(module, shape) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(torch.zeros(shape))
    return counter.get_total_flops()


@pytest.mark.parametrize("name", BACKBONES)
def test_the_tail_costs_no_more_than_the_unsplit_backbone(name):
    config = {
        "backbone": name,
        "labels": 10,
        "channels": 48,
        "blocks": 1 if name == "small_resnet" else 0,
    }
    tail = flops(build_tail(config), (1, 48, 28, 28))
    assert tail <= flops(build_backbone(name, 10), (1, 3, 224, 224))


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("size", [(64, 64), (72, 40), (8, 8)])
def test_any_multiple_of_the_stride_goes_through(name, size):
    backbone = build_backbone(name, 3).eval()
    with torch.no_grad():
        features = backbone.front(torch.zeros(1, 3, *size))
        assert features.shape == (1, backbone.cut_channels, size[0] // 8, size[1] // 8)
        assert backbone.rest[0](features).shape[1] == backbone.body_channels
        assert backbone(torch.zeros(1, 3, *size)).shape == (1, 3)


def test_an_unknown_backbone_lists_the_known():
    with pytest.raises(ConfigError, match="small_resnet"):
        build_backbone("alexnet", 3)


@pytest.mark.parametrize("size", [(32, 32), (8, 104), (56, 24)])
@pytest.mark.parametrize("blocks", [0, 2])
def test_the_onnx_head_computes_what_torch_does(tmp_path, size, blocks):
    head = PatchHead(width=12, hidden=8, blocks=blocks, channels=5, mean=MEAN, std=STD).eval()
    weights = {k: v.detach().numpy() for k, v in head.state_dict().items()}
    (tmp_path / "head.onnx").write_bytes(
        build_onnx_head(head.layers(), weights).SerializeToString()
    )
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = head(torch.from_numpy(image).permute(2, 0, 1)[None].float())[0].numpy()
    np.testing.assert_allclose(OnnxHead(tmp_path / "head.onnx").run(image), expected, atol=1e-4)


def test_the_shipped_head_is_a_fraction_of_entropic_students():
    head = PatchHead(width=64, hidden=64, blocks=2, channels=48, mean=MEAN, std=STD)
    assert flops(head, (1, 3, 224, 224)) / 2 < 588e6 / 4  # its MACs at 224 x 224
