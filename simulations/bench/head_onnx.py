"""Heads as ONNX graphs: on ONNX Runtime, and on OpenVINO, which reads the same files."""

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.models.onnx_head import build_onnx_head
from narrows.simulations.bench.head_networks import CALIBRATION_PICTURES, Network, photographs

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def onnx_runtime(network: Network, threads: int) -> dict[str, Run]:
    """fp32, and int8 by static quantisation, with ONNX Runtime's defaults but for threads."""
    import onnxruntime

    def load(model: bytes) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        return lambda image: session.run(["latent"], {"image": image[None]})[0][0]

    return {"fp32": load(_onnx(network)), "int8": load(_quantised(network))}


def openvino(network: Network, threads: int) -> dict[str, Run]:
    """fp32, bf16 where the machine has it, and the int8 graph ONNX Runtime gets."""
    import openvino

    core = openvino.Core()

    def load(model: bytes, precision: str) -> Run:
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision}
        config |= {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        config["ENABLE_HYPER_THREADING"] = True  # a virtual machine's cores may look like siblings
        config["ENABLE_CPU_PINNING"] = False  # others may be busy on the core it would choose
        graph = core.read_model(model)
        graph.reshape([1, network.side, network.side, 3])
        compiled = core.compile_model(graph, "CPU", config)
        request = compiled.create_infer_request()
        return lambda image: request.infer([image[None]])[0][0]

    runs = {"fp32": load(_onnx(network), "f32"), "int8": load(_quantised(network), "f32")}
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        runs["bf16"] = load(_onnx(network), "bf16")
    return runs


def _onnx(network: Network) -> bytes:
    model: bytes = build_onnx_head(network.layers, network.tensors).SerializeToString()
    return model


def _quantised(network: Network) -> bytes:
    """QDQ, weights per channel, activations by the ranges of a few pictures."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            pictures = photographs(CALIBRATION_PICTURES, network.side)
            self._feeds: Iterator[dict[str, Any]] = ({"image": p[None]} for p in pictures)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._feeds, None)

    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        source, target = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(_onnx(network))
        quant_pre_process(source, source, skip_symbolic_shape=True)
        quantize_static(source, target, Pictures(), quant_format=QuantFormat.QDQ, per_channel=True)
        return target.read_bytes()
