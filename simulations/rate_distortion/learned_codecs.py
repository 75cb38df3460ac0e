"""CompressAI's learned picture codecs as baselines, on our coder."""

from collections.abc import Sequence
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from narrows.codec.strings import separated
from narrows.errors import ConfigError
from narrows.models.bundle import TailRunner
from narrows.simulations.rate_distortion.codecs import Picture
from narrows.simulations.rate_distortion.subjects import Probabilities, weights_fingerprint

LEARNED = {  # Ballé et al., ICLR 2018, and Minnen et al., NeurIPS 2018
    "bmshj2018_factorized": (1, 2, 3, 4),
    "bmshj2018_hyperprior": (1, 2, 3, 4),
    "mbt2018_mean": (1, 2, 3, 4),
}
MULTIPLE = 64  # of which sides must be


class LearnedCodecSubject:
    """One architecture at the lowest published qualities."""

    macs = 0  # not counted: its analysis alone is far beyond a head's

    def __init__(self, name: str, unsplit: TailRunner, pretrained: bool = True):
        """Load, or fetch, CompressAI's published weights.

        Raises:
            ConfigError: they are not on this machine and cannot be fetched.
        """
        from compressai import zoo

        from narrows.codec.compressai import accelerate

        self.runtime, self.unsplit = "torch and our coder", unsplit
        self.points = tuple(f"q{quality}" for quality in LEARNED[name])
        try:
            self.models: list[nn.Module] = [
                getattr(zoo, name)(quality=quality, pretrained=pretrained).eval()
                for quality in LEARNED[name]
            ]
        except (URLError, OSError) as error:
            raise ConfigError(
                f"{name}: no weights here, and none can be fetched ({error}): leave it out of "
                "--methods, or run once where there is a network"
            ) from None
        for model in self.models:
            model.update()  # type: ignore[operator]
            accelerate(model)
        self.parameters = sum(p.numel() for p in self.models[0].parameters())
        self.fingerprint = name + weights_fingerprint(self.models[0])
        self._size: tuple[Any, int, int] = ((), 0, 0)

    @torch.inference_mode()
    def encode(self, picture: Picture, point: int) -> bytes:
        """The strings, one after the other: each tells its own length."""
        height, width = picture.shape[:2]
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        bottom, right = -height % MULTIPLE, -width % MULTIPLE
        padded = F.pad(pixels, (0, right, 0, bottom), mode="replicate")
        coded = self.models[point].compress(padded)  # type: ignore[operator]
        self._size = coded["shape"], height, width
        return b"".join(part[0] for part in coded["strings"])

    @torch.inference_mode()
    def answer(self, received: Sequence[bytes], point: int) -> Probabilities:
        pictures = []
        shape, height, width = self._size
        for data in received:
            parts = [[string] for string in separated(data)]
            restored = self.models[point].decompress(parts, shape)["x_hat"]  # type: ignore[operator]
            pixels = (restored[0, :, :height, :width].clamp(0, 1) * 255).round().to(torch.uint8)
            pictures.append(pixels.permute(1, 2, 0).numpy())
        return self.unsplit.run_unsplit(np.stack(pictures))
