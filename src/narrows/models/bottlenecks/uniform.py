"""Uniform quantisation without entropy coding: a fixed number of bits an element, as CR+BQ sends.

Affine between a latent's own smallest and largest element (Jacob et al., CVPR 2018), so a frame is
two float32 and the packed integers; learned with gradients straight through.
"""

import struct

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.errors import TruncatedPacket

_RANGE = struct.Struct("<2f")


class UniformBottleneck(nn.Module):
    """Rounds a batch whose samples are grouped by operating point, one number of bits each."""

    def __init__(self, bits: tuple[int, ...]):
        super().__init__()
        self.bits = bits

    @property
    def points(self) -> int:
        return len(self.bits)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (batch, channels, h, w) -> the same after the wire, and bits per sample."""
        groups = latent.float().chunk(self.points)
        received = [_rounded(y, bits) for y, bits in zip(groups, self.bits, strict=True)]
        elements = latent[0].numel()
        bits = [float(b * elements) for b in self.bits]
        return torch.cat(received), torch.tensor(bits, device=latent.device)


def _rounded(y: Tensor, bits: int) -> Tensor:
    low = y.detach().amin((1, 2, 3), keepdim=True)
    step = (y.detach().amax((1, 2, 3), keepdim=True) - low).clamp_min(1e-6) / (2**bits - 1)
    nearest = ((y.detach() - low) / step).round() * step + low
    return y + (nearest - y).detach()


def pack(latent: NDArray[np.float32], bits: int) -> bytes:
    """float32 (channels, h, w) -> its range and the integers, most significant bit first."""
    low, high = float(latent.min()), float(latent.max())
    step = max(high - low, 1e-6) / (2**bits - 1)
    steps = np.rint((latent.ravel() - low) / step).astype(np.uint8)
    planes = np.unpackbits(steps[:, None], axis=1)[:, 8 - bits :]
    return _RANGE.pack(low, step) + np.packbits(planes).tobytes()


def unpack(data: bytes, bits: int, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """The inverse of `pack`, up to rounding.

    Raises:
        TruncatedPacket: another number of bytes than that shape has.
    """
    count = int(np.prod(shape))
    expected = _RANGE.size + -(-count * bits // 8)
    if len(data) != expected:
        raise TruncatedPacket(f"expected {expected} bytes for {shape}, got {len(data)}: resend")
    low, step = _RANGE.unpack_from(data)
    planes = np.unpackbits(np.frombuffer(data, np.uint8, offset=_RANGE.size), count=count * bits)
    steps = planes.reshape(count, bits) @ (1 << np.arange(bits)[::-1])
    return (steps * step + low).astype(np.float32).reshape(shape)
