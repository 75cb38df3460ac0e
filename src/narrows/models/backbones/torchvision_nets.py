"""torchvision's networks, cut where their features have 1/4 or 1/8 of the picture's side."""

from itertools import pairwise

import torchvision
from torch import Tensor, nn
from torchvision.models import MobileNetV2, MobileNetV3

from narrows.models.backbones.backbone import Backbone

TENSORFLOW = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # pixels in -1..1


def resnet50(labels: int, stride: int = 8) -> Backbone:
    """Cut after layer1 (256 channels) or layer2 (512)."""
    net = torchvision.models.resnet50(num_classes=labels)
    layers = [net.layer1, net.layer2, net.layer3, net.layer4]
    in_front = 1 if stride == 4 else 2
    front = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, *layers[:in_front])
    classify = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
    channels = (256 * in_front, 2048)
    body = nn.Sequential(*layers[in_front:])
    return Backbone(front, body, classify, f"layer{in_front}", channels, stride)


def _mobilenet(
    net: MobileNetV2 | MobileNetV3, ends: tuple[int, ...], widths: tuple[int, int, int], stride: int
) -> Backbone:
    """`ends`: of the features at 1/4, 1/8, 1/16 and 1/32; `widths`: at both cuts and last."""
    features = list(net.features.children())
    ends = ends if stride == 4 else ends[1:]
    front = nn.Sequential(*features[: ends[0]])
    body = nn.Sequential(*(nn.Sequential(*features[a:b]) for a, b in pairwise(ends)))
    classify = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.classifier)
    channels = (widths[0 if stride == 4 else 1], widths[2])
    return Backbone(front, body, classify, f"features[:{ends[0]}]", channels, stride)


def mobilenet_v2(labels: int, stride: int = 8) -> Backbone:
    """Cut at 24 or 32 channels."""
    net = torchvision.models.mobilenet_v2(num_classes=labels)
    return _mobilenet(net, (4, 7, 14, 19), (24, 32, 1280), stride)


def mobilenet_v2_tf(labels: int, stride: int = 8) -> Backbone:
    """MobileNetV2 as TensorFlow runs it, for weights from there: other pixels, other padding.

    Its 3x3 convolutions of stride 2 pad right and bottom only; torchvision's padding costs such
    weights 9 points on ImageNet.
    """
    return _tensorflow(mobilenet_v2(labels, stride))


def _tensorflow(backbone: Backbone) -> Backbone:
    """Pixels and padding as TensorFlow has them."""
    backbone.mean, backbone.std = TENSORFLOW
    for module in list(backbone.modules()):
        for name, conv in list(module.named_children()):
            if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2) and conv.kernel_size == (3, 3):
                setattr(module, name, _PaddedRight(conv))
    return backbone


def mobilenet_v2_tf16(labels: int, stride: int = 8) -> Backbone:
    """The same to its last block, which keeps 1/16 of the side, as DeepLab has it."""
    features = torchvision.models.mobilenet_v2().features[:18]
    for block in features[14:]:
        for conv in block.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                dilation = 1 if conv.stride == (2, 2) else 2
                conv.stride, conv.dilation, conv.padding = (1, 1), (dilation,) * 2, (dilation,) * 2
    cut, ends = (4, (7, 14, 18)) if stride == 4 else (7, (14, 18))
    body = nn.Sequential(*(features[a:b] for a, b in pairwise((cut, *ends))))
    classify = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(320, labels))
    channels = (24 if stride == 4 else 32, 320)
    front, name = features[:cut], f"features[:{cut}]"
    return _tensorflow(Backbone(front, body, classify, name, channels, stride))


class _PaddedRight(nn.Conv2d):
    """A 3x3 convolution of stride 2 padded as TensorFlow's SAME: even sides on the right only."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__(
            conv.in_channels, conv.out_channels, 3, 2, 0, groups=conv.groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        return super().forward(nn.functional.pad(x, (width % 2, 1, height % 2, 1)))


def mobilenet_v3_small(labels: int, stride: int = 8) -> Backbone:
    """Cut at 16 or 24 channels."""
    net = torchvision.models.mobilenet_v3_small(num_classes=labels)
    return _mobilenet(net, (2, 4, 9, 13), (16, 24, 576), stride)


def mobilenet_v3_large(labels: int, stride: int = 8) -> Backbone:
    """Cut at 24 or 40 channels."""
    net = torchvision.models.mobilenet_v3_large(num_classes=labels)
    return _mobilenet(net, (4, 7, 13, 17), (24, 40, 960), stride)
