"""FrankenSplit's encoder (Furutanpey et al., TMC 2024): three residual blocks of stride 2, no GDN.

The released code has no activation after a block's first convolution: its test compares a class
with an instance. This is the network that was meant, with the ReLU.
"""

from narrows.models.backbones.backbone import Triple
from narrows.models.bottlenecks.common import conv, normalise
from narrows.models.head import Layers


def residual_encoder(
    pixels: tuple[Triple, Triple],
    channels: int = 48,
    widths: tuple[int, int] = (48, 64),
) -> Layers:
    """Latent of stride 8."""
    first, second = widths
    blocks = [_block(f"block{i}", out) for i, out in enumerate((first, second, channels), 1)]
    return [normalise(pixels), *blocks]


def _block(name: str, out: int) -> dict:
    relu = {"op": "relu"}
    body = [
        conv(f"{name}.first", out, 3, 2, 1), relu,
        conv(f"{name}.second", out, 3, pad=1), relu,
    ]  # fmt: skip
    return {"op": "sum", "branches": [body, [conv(f"{name}.skip", out, 1, 2)]], "scales": [1, 1]}
