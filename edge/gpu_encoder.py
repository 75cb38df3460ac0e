"""Head and coder on an NVIDIA GPU: a picture goes there, and its packet comes back.

Byte for byte the packet of `FeatureEncoder`, for frames that are coded by themselves: a policy, the
filter and video look at latents here.
"""

import time
from pathlib import Path

from PIL import Image

from narrows.codec.frame import FrameCodec, load_frame_codec
from narrows.codec.manifest import InputSpec, Manifest
from narrows.edge.encoder import Encoder, load_feature_encoder
from narrows.edge.gpu import UntilItFails
from narrows.edge.head import load_cuda_head
from narrows.edge.payload import Payload
from narrows.images.preprocess import pad_to_stride, prepare
from narrows.kernels.cuda.head import Head


class GpuEncoder:
    """Pictures to packets on the GPU; on the CPU, with `spare`, once that fails."""

    def __init__(self, rule: InputSpec, head: Head, codec: FrameCodec, spare: Encoder):
        self._rule, self._head, self._codec, self._spare = rule, head, codec, spare
        self._gpu = UntilItFails()

    def encode(self, image: Image.Image, point: int) -> Payload:
        """Encode a picture of any size. Raises ShapeError for a point the bundle lacks."""
        return self._gpu.run(
            lambda: self._on_gpu(image, point), lambda: self._spare.encode(image, point)
        )

    def _on_gpu(self, image: Image.Image, point: int) -> Payload:
        """As of FeatureEncoder; the coder's time is in the head's."""
        started = time.monotonic_ns()
        picture, view = prepare(image, self._rule.short_side, self._rule.max_aspect)
        padded = pad_to_stride(picture, self._rule.stride)
        prepared = time.monotonic_ns()
        packet = self._codec.encode_on_gpu(padded, self._head, point)
        spent = prepared - started, time.monotonic_ns() - prepared
        height, width = picture.shape[:2]
        return Payload("packet", packet, width, height, started, *spent, 0, view=view)


def load_gpu_encoder(bundle: Path, manifest: Manifest) -> GpuEncoder:
    """A bundle's device part on the GPU.

    Raises:
        BundleError: a file is missing, altered, or does not fit.
        ConfigError: no int8 head in it, or no GPU that runs it.
    """
    spare = load_feature_encoder(bundle, manifest, "int8")
    head, codec = load_cuda_head(bundle, manifest), load_frame_codec(bundle, manifest)
    return GpuEncoder(manifest.input, head, codec, spare)
