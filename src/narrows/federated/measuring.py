"""What a network costs and answers on photographs: real packets, coded and decoded."""

from dataclasses import dataclass

import numpy as np
import torch

from narrows.codec import bitstream
from narrows.federated.network import Network
from narrows.images.preprocess import pad_to_stride
from narrows.training.data import Photographs
from narrows.training.teacher import normalise


@dataclass(frozen=True)
class Figures:
    """Sums over photographs, one number a point where there are points."""

    photographs: int
    labelled: int
    packet_bytes: tuple[float, ...]
    right: tuple[float, ...]  # of the labelled
    agreeing: tuple[float, ...]  # with the unsplit network
    unsplit_right: float


@torch.inference_mode()
def measure(network: Network, data: Photographs) -> Figures:
    """Every photograph at every point; the network's tables are what codes."""
    codec, tail, head = network.codec(), network.model.tail.eval(), network.device_head()
    points = len(codec.points)
    total, right, agreeing = np.zeros(points), np.zeros(points), np.zeros(points)
    unsplit_right = 0
    for picture, target in zip(data.pictures, data.targets.tolist(), strict=True):
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
        latent = head.run(pad_to_stride(picture, network.manifest.input.stride))
        reference = int(network.unsplit(normalise(pixels, network.unsplit)).argmax())
        unsplit_right += target >= 0 and reference == target
        for point in range(points):
            packet = codec.encode(latent, point)
            symbols = codec.decode_symbols(bitstream.parse(packet))
            received = torch.from_numpy(codec.dequantise(symbols, point))[None]
            answer = int(tail(received).argmax())
            total[point] += len(packet)
            right[point] += answer == target
            agreeing[point] += answer == reference
    return Figures(
        len(data), int((data.targets >= 0).sum()),
        tuple(total.tolist()), tuple(right.tolist()), tuple(agreeing.tolist()), unsplit_right,
    )  # fmt: skip
