"""Slimmable ensemble encoders (Assine et al., WoWMoM 2023): members summed, as many as time allows.

Each member is a stem and five inverted residuals (Sandler et al., CVPR 2018) of a handful of
channels; `members` of them are run on a frame. Published for 384 x 384, six channels, stride 4.
"""

from narrows.models.backbones.backbone import Triple
from narrows.models.bottlenecks.common import conv, normalise
from narrows.models.head import Layers

SCALES = (1.0, 2.0, 1.0, 0.5)  # the published code's, of its four members
BLOCKS = ((4, 1, 1), (4, 1, 1), (6, 2, 6), (6, 1, 6))  # channels, stride, expansion


def ensemble_encoder(pixels: tuple[Triple, Triple], channels: int = 6, members: int = 4) -> Layers:
    """The sum of the first `members` members."""
    branches = [_member(f"member{i}", channels) for i in range(members)]
    scales = list(SCALES[:members])
    return [normalise(pixels), {"op": "sum", "branches": branches, "scales": scales}]


def _member(name: str, channels: int) -> Layers:
    layers = [conv(f"{name}.stem", 6, 3, 2, 1, norm=True), {"op": "silu"}]
    width = 6
    for index, (out, stride, expansion) in enumerate((*BLOCKS, (channels, 1, 6))):
        block = _inverted(f"{name}.block{index}", width, out, stride, expansion)
        skips = stride == 1 and width == out and index < len(BLOCKS)
        layers += [{"op": "residual", "body": block}] if skips else block
        width = out
    return layers


def _inverted(name: str, width: int, out: int, stride: int, expansion: int) -> Layers:
    wide = width * expansion
    expand = [conv(f"{name}.expand", wide, 1, norm=True), {"op": "silu"}] if expansion > 1 else []
    return [
        *expand,
        conv(f"{name}.depthwise", wide, 3, stride, 1, norm=True, groups=wide), {"op": "silu"},
        {"op": "gate", "weights": f"{name}.gate", "reduced": max(1, wide // 4)},
        conv(f"{name}.project", out, 1, norm=True),
    ]  # fmt: skip
