"""The network's first part on the device, behind an interface that any runtime can fill."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from narrows.codec.manifest import INT8_HEAD, INT8_LAYERS, Manifest
from narrows.edge.gpu import Choice, GpuHead, choose_head
from narrows.errors import BundleError, ConfigError
from narrows.kernels import BACKEND
from narrows.kernels.cuda.head import Head as CudaHead
from narrows.kernels.head import Head, HeadError, UnknownLayer
from narrows.kernels.head.plan import Layer, Tensors, make_plan

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

HeadKind = Literal["auto", "int8", "cuda", "fp32", "onnx"]


class HeadRunner(Protocol):
    """Anything that runs a head."""

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB (height, width, 3), sides multiples of the stride -> latent (C, h, w)."""
        ...


def load_head(
    bundle: Path, manifest: Manifest, kind: HeadKind = "auto", threads: int = 1
) -> HeadRunner:
    """A bundle's head: `int8` or `fp32` on our kernels, one thread, or `onnx` on ONNX Runtime.

    `cuda` is int8 on an NVIDIA GPU. `auto` is int8 where the bundle has it, whose packets are the
    same on every machine, on a GPU if that is faster, else fp32; and ONNX Runtime where our kernels
    are not built or lack one of the head's layers. `threads` are ONNX Runtime's.

    Raises:
        BundleError: the head's files are missing or do not fit.
        ConfigError: no int8 head in it, or no GPU that runs it.
    """
    if kind not in get_args(HeadKind):
        raise ConfigError(f"head {kind!r}: expected one of {', '.join(get_args(HeadKind))}")
    automatic = kind == "auto"
    if kind == "auto":
        built = BACKEND == "native"
        kind = "onnx" if not built else "int8" if INT8_LAYERS in manifest.head else "fp32"
    if kind == "onnx":
        return OnnxHead(bundle / "head.onnx", threads)
    if kind == "cuda":
        return GpuHead(load_cuda_head(bundle, manifest), load_head(bundle, manifest, "int8"))
    try:
        if automatic and kind == "int8":
            return fastest_head(bundle, manifest).head
        return Head(*_layers(bundle, manifest, kind))
    except UnknownLayer as error:
        if automatic:
            return OnnxHead(bundle / "head.onnx", threads)
        raise BundleError(f"{bundle}: our kernels lack {error}: choose --head onnx") from None


def fastest_head(bundle: Path, manifest: Manifest) -> Choice:
    """The int8 head where `auto` runs it, and why.

    Raises:
        BundleError: its files are missing or do not fit. ConfigError: no int8 head in it.
        UnknownLayer: a layer that our kernels lack.
    """
    given = _layers(bundle, manifest, "int8")
    rule = manifest.input
    side = -(-rule.short_side // rule.stride) * rule.stride
    return choose_head(Head(*given), lambda: CudaHead(*given), side)


def load_cuda_head(bundle: Path, manifest: Manifest) -> CudaHead:
    """The int8 head on the first GPU.

    Raises:
        BundleError: its files are missing or do not fit.
        ConfigError: no int8 head in it, or no GPU that runs it.
    """
    try:
        return CudaHead(*_layers(bundle, manifest, "int8"))
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"--head cuda: {error}: choose int8, or auto") from None


def _layers(bundle: Path, manifest: Manifest, kind: str) -> tuple[list[Layer], Tensors]:
    """A head of our kernels, int8 or fp32: its layers and tensors, which fit together."""
    if kind == "int8" and INT8_LAYERS not in manifest.head:
        raise ConfigError(
            f"{bundle} has no int8 head: make one by `narrows bundle quantise`, or choose fp32"
        )
    path = bundle / (INT8_HEAD if kind == "int8" else "head.safetensors")
    try:
        layers = manifest.head[INT8_LAYERS if kind == "int8" else "layers"]
        tensors = load_file(path)
        make_plan(layers, tensors)
    except UnknownLayer:
        raise
    except (OSError, SafetensorError, HeadError, KeyError) as error:
        raise BundleError(f"{path}: not a head: {error}") from None
    return layers, tensors


class OnnxHead:
    """The bundle's head.onnx on ONNX Runtime's CPU provider."""

    def __init__(self, path: Path, threads: int = 1):
        """Load `head.onnx`. Raises BundleError when it is not a head."""
        self._session = onnx_session(path, "image", "latent", threads)

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB (height, width, 3), sides multiples of the stride -> latent (C, h, w)."""
        latent: NDArray[np.float32] = self._session.run(["latent"], {"image": image[None]})[0][0]
        return latent


def onnx_session(path: Path, takes: str, gives: str, threads: int) -> "InferenceSession":
    """A small-footprint session on a model with one input and one output of these names.

    Raises:
        BundleError: the file is missing, is not ONNX, or has other inputs or outputs.
        ConfigError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime  # here and not above: a device that uploads pictures never loads it
    except ImportError:
        raise ConfigError(
            f"{path}: ONNX Runtime runs it, and is not installed: pip install onnxruntime"
        ) from None

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A stream of frames of changing size: the arena and its patterns would only hold on to memory.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a battery matters
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's own exceptions share no public base
        raise BundleError(f"{path}: not a model ONNX Runtime can load: {error}") from None
    names = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
    if names != ([takes], [gives]):
        raise BundleError(f"{path}: expected input {takes!r} and output {gives!r}, got {names}")
    return session
