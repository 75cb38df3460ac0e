"""A patchify convolution and a few residual blocks: stride 8 at once and no GDN.

edge-cloud-rac (Duan & Zhu, PCS 2022) matches Entropic Student per byte with 1/23 of its arithmetic
this way: its n0 and n4 are `width` 128, `hidden` 64, 64 channels, GELU, and no or four blocks.
"""

from narrows.models.backbones.backbone import Triple
from narrows.models.bottlenecks.common import conv, normalise
from narrows.models.head import Layers

PATCH = 8  # pixels


def patch_encoder(
    pixels: tuple[Triple, Triple],
    channels: int,
    width: int = 64,
    hidden: int = 64,
    blocks: int = 2,
    activation: str = "relu",
    deep_width: int = 0,
    deep_hidden: int = 0,
    deep_blocks: int = 0,
) -> Layers:
    """Latent of stride 8, or of stride 16 where `deep_width` is given.

    The `deep_blocks` work at a quarter of the positions: as much arithmetic buys twice the channels
    and twice the receptive field. ReLU quantises to int8 better than GELU.
    """
    layers = [normalise(pixels), conv("patchify", width, PATCH, PATCH)]
    layers += [_block(f"blocks.{i}", width, hidden, activation) for i in range(blocks)]
    if deep_width:
        layers += [{"op": activation}, conv("down", deep_width, 2, 2)]
        layers += [
            _block(f"deep.{i}", deep_width, deep_hidden, activation) for i in range(deep_blocks)
        ]
    return [*layers, {"op": activation}, conv("project", channels, 1)]


def _block(name: str, width: int, hidden: int, activation: str) -> dict:
    """x + conv(act(conv(act(x)))), both 3x3."""
    return {
        "op": "residual",
        "body": [
            {"op": activation},
            conv(f"{name}.first", hidden, 3, pad=1),
            {"op": activation},
            conv(f"{name}.second", width, 3, pad=1),
        ],
    }
