"""A residual network (He et al., CVPR 2016) of 2.7 M parameters that trains on two cores.

Widths rise slowly and the early stages are deep: most arithmetic is at high resolution, which a
patchify head replaces, and most weights are at low resolution, which stays on the server.
"""

from torch import Tensor, nn

from narrows.models.backbones.backbone import Backbone

STEM = 32
WIDTHS = (48, 96, 144, 208)  # at 1/4, 1/8, 1/16 and 1/32 of the side
BLOCKS = (3, 3, 2, 2)


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; (batch, inputs, h, w) -> (batch, outputs, h/s, w/s)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3)
        norm = self.second[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)  # starts as its shortcut (Goyal et al. 2017)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else conv_bn(inputs, outputs, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.second(self.relu(self.first(x))) + self.shortcut(x))


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(inputs, outputs, stride=2),
        *(BasicBlock(outputs, outputs) for _ in range(blocks - 1)),
    )


def small_resnet(labels: int, stride: int = 8) -> Backbone:
    """Cut at 1/4 of the side after the first stage, or at 1/8 after one block of the second."""
    a, b, c, d = WIDTHS
    stem = nn.Sequential(conv_bn(3, STEM, 3, stride=2), nn.ReLU(inplace=True))
    at_4, at_8 = _stage(STEM, a, BLOCKS[0]), _stage(a, b, BLOCKS[1])
    last = (_stage(b, c, BLOCKS[2]), _stage(c, d, BLOCKS[3]))
    classify = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(d, labels))
    if stride == 4:
        front, body = nn.Sequential(stem, at_4), nn.Sequential(at_8, *last)
        return Backbone(front, body, classify, "stage1", (a, d), stride)
    front, body = nn.Sequential(stem, at_4, at_8[0]), nn.Sequential(at_8[1:], *last)
    return Backbone(front, body, classify, "stage2.block1", (b, d), stride)
