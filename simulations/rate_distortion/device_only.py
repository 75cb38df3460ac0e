"""The baseline that a split must beat to be of use: the whole network on the device."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from narrows.edge.head import onnx_session
from narrows.models.bundle import TailRunner
from narrows.models.onnx_unsplit import export_unsplit
from narrows.simulations.rate_distortion.codecs import Picture
from narrows.simulations.rate_distortion.subjects import Probabilities, weights_fingerprint


class DeviceOnly:
    """The unsplit network on ONNX Runtime; the answer that crosses is one byte, the class."""

    points: tuple[str, ...] = ("device",)
    runtime = "ONNX Runtime fp32"

    def __init__(self, unsplit: TailRunner, folder: Path, side: int, labels: int):
        self.parameters = sum(p.numel() for p in unsplit.unsplit.parameters())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            unsplit.unsplit(torch.zeros(1, 3, side, side))
        self.macs = counter.get_total_flops() // 2
        path = export_unsplit(unsplit, side, folder / "unsplit.onnx")
        self._session = onnx_session(path, "image", "probabilities", threads=1)
        self.fingerprint = weights_fingerprint(unsplit.unsplit)
        self._labels = labels

    def encode(self, picture: Picture, point: int) -> bytes:
        """The class, found on the device."""
        (probabilities,) = self._session.run(["probabilities"], {"image": picture[None]})
        return bytes([int(probabilities[0].argmax())])

    def answer(self, received: Sequence[bytes], point: int) -> Probabilities:
        """All certainty on the class that was sent."""
        return np.eye(self._labels, dtype=np.float32)[[data[0] for data in received]]
