"""What is measured: each a way from a picture to bytes, and from bytes to probabilities."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from narrows.codec import bitstream
from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.edge.head import HeadRunner, OnnxHead, load_head
from narrows.images.preprocess import pad_to_stride
from narrows.models.bottlenecks.hyperprior import HyperBottleneck
from narrows.models.bottlenecks.uniform import UniformBottleneck, pack, unpack
from narrows.models.bundle import TailRunner, load_tail
from narrows.models.head import Head, multiply_adds
from narrows.models.onnx_head import build_onnx_head
from narrows.simulations.evaluation import whole
from narrows.simulations.rate_distortion.codecs import QUALITIES, Picture, decode, encode
from narrows.training.split import SplitModel

Probabilities = NDArray[np.float32]  # (batch, labels)


class Subject(Protocol):
    """One trained model, or one codec, at its operating points."""

    points: tuple[str, ...]
    macs: int
    parameters: int
    runtime: str
    fingerprint: str  # of all that decides what is measured

    def encode(self, picture: Picture, point: int) -> bytes:
        """What the device sends."""
        ...

    def answer(self, received: Sequence[bytes], point: int) -> Probabilities:
        """What the server makes of it."""
        ...


class CodecSubject:
    """JPEG, WebP or AVIF before the unsplit network."""

    macs = parameters = 0

    def __init__(self, codec: str, unsplit: TailRunner):
        self.codec, self.unsplit, self.runtime = codec, unsplit, "Pillow"
        self.fingerprint = codec + weights_fingerprint(unsplit.unsplit)
        self.points = tuple(f"q{quality}" for quality in QUALITIES[codec])

    def encode(self, picture: Picture, point: int) -> bytes:
        return encode(picture, self.codec, QUALITIES[self.codec][point])

    def answer(self, received: Sequence[bytes], point: int) -> Probabilities:
        return self.unsplit.run_unsplit(np.stack([decode(data) for data in received]))


class BundleSubject:
    """A bundle through the device's head, the real coder and the server's tail."""

    def __init__(self, bundle: Path):
        manifest = Manifest.load(bundle)
        manifest.verify_files(bundle)
        self.points = tuple(str(p.id) for p in manifest.operating_points)
        self.fingerprint, self.stride = manifest.digest, manifest.input.stride
        self.head = load_head(bundle, manifest)
        self.codec = load_frame_codec(bundle, manifest)
        self.tail = load_tail(bundle)
        weights = load_file(bundle / "head.safetensors")
        layers = manifest.head["layers"]
        self.macs = multiply_adds(layers, weights, manifest.input.short_side)
        self.parameters = sum(w.size for w in weights.values())
        self.runtime = _runtime(self.head, "int8_layers" in manifest.head)

    def encode(self, picture: Picture, point: int) -> bytes:
        return self.codec.encode(self.head.run(pad_to_stride(picture, self.stride)), point)

    def answer(self, received: Sequence[bytes], point: int) -> Probabilities:
        packets = [bitstream.parse(data) for data in received]
        return self.tail.run(np.stack([whole(d) for d in self.codec.decode(packets)]))


def _runtime(head: HeadRunner, int8: bool) -> str:
    if isinstance(head, OnnxHead):
        return "ONNX Runtime fp32"
    return "kernels int8" if int8 else "kernels fp32"


class UniformSubject:
    """A model without entropy coding: each point has a number of bits, and of members if ensemble.

    Device and server are one process here; its bytes are made and read all the same.
    """

    runtime = "ONNX Runtime fp32"

    def __init__(self, model: SplitModel, folder: Path, side: int):
        assert isinstance(model.bottleneck, UniformBottleneck)
        self.model, self.bits = model, model.bottleneck.bits
        members = model.members or (None,) * len(self.bits)
        self.points = tuple(
            f"{bits} bits" + (f" x {m}" if m else "")
            for bits, m in zip(self.bits, members, strict=True)
        )
        tensors = model.head.tensors()
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        self.heads: list[HeadRunner] = []
        for index, count in enumerate(members):
            path = folder / f"head-{index}.onnx"
            layers = first_members(model.head, count)
            path.write_bytes(build_onnx_head(layers, arrays).SerializeToString())
            self.heads.append(OnnxHead(path))
        layers = model.head.layers()
        self.macs = multiply_adds(layers, tensors, side)
        self.parameters = sum(t.numel() for t in tensors.values())
        self.stride = max(8, model.head.stride)
        self.fingerprint = weights_fingerprint(model)
        self._shape = (model.head.channels, 0, 0)

    def encode(self, picture: Picture, point: int) -> bytes:
        latent = self.heads[point].run(pad_to_stride(picture, self.stride))
        self._shape = (latent.shape[0], latent.shape[1], latent.shape[2])
        return pack(latent, self.bits[point])

    @torch.inference_mode()
    def answer(self, received: Sequence[bytes], point: int) -> Probabilities:
        latents = np.stack([unpack(data, self.bits[point], self._shape) for data in received])
        probabilities: Probabilities = self.model.tail(torch.from_numpy(latents)).softmax(1).numpy()
        return probabilities


class HyperSubject:
    """Under a hyperprior: head on ONNX Runtime, analysis in torch, synthesis in integers."""

    points: tuple[str, ...] = ("0",)
    runtime = "ONNX Runtime fp32 and torch"

    def __init__(self, model: SplitModel, folder: Path, side: int):
        assert isinstance(model.bottleneck, HyperBottleneck)
        self.model, self.bottleneck = model, model.bottleneck
        self.codec = model.bottleneck.codec()
        tensors = model.head.tensors()
        layers = model.head.layers()
        path = folder / "head.onnx"
        onnx = build_onnx_head(layers, {name: t.numpy() for name, t in tensors.items()})
        path.write_bytes(onnx.SerializeToString())
        self.head = OnnxHead(path)
        self.stride = max(8, model.head.stride)
        hyper = [*model.bottleneck.analysis.parameters(), *model.bottleneck.synthesis.parameters()]
        self.macs = multiply_adds(layers, tensors, side) + _hyper_macs(model, side)
        self.parameters = sum(t.numel() for t in [*tensors.values(), *hyper])
        self.fingerprint = weights_fingerprint(model)
        self._size = (0, 0)

    @torch.inference_mode()
    def encode(self, picture: Picture, point: int) -> bytes:
        latent = self.head.run(pad_to_stride(picture, self.stride))
        self._size = (latent.shape[1], latent.shape[2])
        y, z = self.bottleneck.hyperlatent(torch.from_numpy(latent)[None])
        return self.codec.encode(y[0].numpy(), z[0].numpy())

    @torch.inference_mode()
    def answer(self, received: Sequence[bytes], point: int) -> Probabilities:
        decoded = torch.from_numpy(np.stack([self.codec.decode(d, *self._size) for d in received]))
        latents = decoded * self.bottleneck.log_inverse.exp()[:, None, None]
        probabilities: Probabilities = self.model.tail(latents).softmax(1).numpy()
        return probabilities


def _hyper_macs(model: SplitModel, side: int) -> int:
    """Of analysis and synthesis, both of which an encoder runs, for a square picture."""
    bottleneck = model.bottleneck
    assert isinstance(bottleneck, HyperBottleneck)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        bottleneck.eval()(model.head(torch.zeros(1, 3, side, side)))
        both = counter.get_total_flops()
        model.head(torch.zeros(1, 3, side, side))
    return (2 * both - counter.get_total_flops()) // 2


def weights_fingerprint(network: nn.Module) -> str:
    """Short, of every tensor."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def first_members(head: Head, members: int | None) -> list[dict]:
    """The layer list of an ensemble's first members."""
    if members is None:
        return head.layers()
    return [
        layer | {"branches": layer["branches"][:members], "scales": layer["scales"][:members]}
        if layer["op"] == "sum"
        else layer
        for layer in head.layers()
    ]
