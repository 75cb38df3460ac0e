"""torchvision's networks, cut where their features have 1/8 of the picture's side."""

import torchvision
from torch import nn
from torchvision.models import MobileNetV2, MobileNetV3

from narrows.models.backbones.backbone import Backbone


def resnet50(labels: int) -> Backbone:
    """Cut after layer2: 512 channels."""
    net = torchvision.models.resnet50(num_classes=labels)
    front = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2)
    body = nn.Sequential(net.layer3, net.layer4)
    classify = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
    return Backbone(front, body, classify, cut="layer2", channels=(512, 2048))


def _mobilenet(
    net: MobileNetV2 | MobileNetV3, blocks_in_front: int, channels: tuple[int, int]
) -> Backbone:
    features = list(net.features.children())
    front = nn.Sequential(*features[:blocks_in_front])
    body = nn.Sequential(*features[blocks_in_front:])
    classify = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.classifier)
    return Backbone(front, body, classify, f"features[:{blocks_in_front}]", channels)


def mobilenet_v2(labels: int) -> Backbone:
    """Cut after the third block at 1/8: 32 channels."""
    return _mobilenet(torchvision.models.mobilenet_v2(num_classes=labels), 7, (32, 1280))


def mobilenet_v3_small(labels: int) -> Backbone:
    """Cut after the second block at 1/8: 24 channels."""
    return _mobilenet(torchvision.models.mobilenet_v3_small(num_classes=labels), 4, (24, 576))


def mobilenet_v3_large(labels: int) -> Backbone:
    """Cut after the third block at 1/8: 40 channels."""
    return _mobilenet(torchvision.models.mobilenet_v3_large(num_classes=labels), 7, (40, 960))
