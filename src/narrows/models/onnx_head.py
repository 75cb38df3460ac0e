"""A head's layer list and weights as an ONNX graph, for devices that run ONNX Runtime.

Written from the list itself rather than traced, so that the list is known to be complete.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # read by every ONNX Runtime since 1.14


def build_onnx_head(
    layers: list[dict[str, Any]], weights: dict[str, NDArray[np.float32]]
) -> onnx.ModelProto:
    """uint8 `image` (1, height, width, 3) -> float32 `latent` (1, channels, height/8, width/8)."""
    graph = _Graph(weights)
    x = graph.add("Transpose", graph.add("Cast", "image", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    x = graph.add("Identity", _chain(graph, x, layers), output="latent")
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, "height", "width", 3])
    latent = helper.make_tensor_value_info(
        "latent", TensorProto.FLOAT, [1, "channels", "rows", "columns"]
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, "head", [image], [latent], graph.initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    def __init__(self, weights: dict[str, NDArray[np.float32]]):
        self.weights, self.nodes, self.initializers = weights, [], []  # type: ignore[var-annotated]

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        if name in {known.name for known in self.initializers}:
            return name
        self.initializers.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name


def _chain(graph: _Graph, x: str, layers: Iterable[dict[str, Any]]) -> str:
    for layer in layers:
        x = _OPERATIONS[layer["op"]](graph, x, layer)
    return x


def _normalise(graph: _Graph, x: str, layer: dict[str, Any]) -> str:
    shape = (1, 3, 1, 1)
    mean = graph.constant("mean", np.reshape(layer["mean"], shape))
    scale = graph.constant("scale", 1 / np.reshape(layer["std"], shape))
    return graph.add("Mul", graph.add("Sub", x, mean), scale)


def _conv(graph: _Graph, x: str, layer: dict[str, Any]) -> str:
    name, kernel, stride = layer["weights"], layer["kernel"], layer["stride"]
    weight = graph.constant(f"{name}.weight", graph.weights[f"{name}.weight"])
    bias = graph.constant(f"{name}.bias", graph.weights[f"{name}.bias"])
    pads = [layer["pad"]] * 4
    return graph.add(
        "Conv", x, weight, bias,
        kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=layer.get("groups", 1),
    )  # fmt: skip


def _relu(graph: _Graph, x: str, layer: dict[str, Any]) -> str:
    return graph.add("Relu", x)


def _gelu(graph: _Graph, x: str, layer: dict[str, Any]) -> str:
    """x * (1 + erf(x / sqrt 2)) / 2: opset 17 has no Gelu."""
    root, one, half = (
        graph.constant(f"gelu.{name}", value)
        for name, value in (("root", 0.5**0.5), ("one", 1.0), ("half", 0.5))
    )
    error = graph.add("Add", graph.add("Erf", graph.add("Mul", x, root)), one)
    return graph.add("Mul", graph.add("Mul", x, error), half)


def _silu(graph: _Graph, x: str, layer: dict[str, Any]) -> str:
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _maxpool(graph: _Graph, x: str, layer: dict[str, Any]) -> str:
    kernel, stride = [layer["kernel"]] * 2, [layer["stride"]] * 2
    return graph.add("MaxPool", x, pads=[layer["pad"]] * 4, kernel_shape=kernel, strides=stride)


def _gate(graph: _Graph, x: str, layer: dict[str, Any]) -> str:
    point = {"kernel": 1, "stride": 1, "pad": 0}
    seen = graph.add("GlobalAveragePool", x)
    seen = _conv(graph, seen, point | {"weights": f"{layer['weights']}.squeeze"})
    seen = _conv(
        graph, _silu(graph, seen, layer), point | {"weights": f"{layer['weights']}.excite"}
    )
    return graph.add("Mul", x, graph.add("Sigmoid", seen))


def _sum(graph: _Graph, x: str, layer: dict[str, Any]) -> str:
    scaled = []
    for branch, scale in zip(layer["branches"], layer["scales"], strict=True):
        y = _chain(graph, x, branch)
        if scale != 1:
            y = graph.add("Mul", y, graph.constant(f"scale.{len(graph.nodes)}", scale))
        scaled.append(y)
    return graph.add("Sum", *scaled)


def _residual(graph: _Graph, x: str, layer: dict[str, Any]) -> str:
    return graph.add("Add", x, _chain(graph, x, layer["body"]))


def _gdn1(graph: _Graph, x: str, layer: dict[str, Any]) -> str:
    """x / (beta + gamma |x|), across channels (Johnston et al., arXiv:1912.08771)."""
    name = layer["weights"]
    gamma = graph.constant(f"{name}.gamma", graph.weights[f"{name}.gamma"][:, :, None, None])
    beta = graph.constant(f"{name}.beta", graph.weights[f"{name}.beta"])
    norm = graph.add("Conv", graph.add("Abs", x), gamma, beta, kernel_shape=[1, 1])
    return graph.add("Div", x, norm)


_OPERATIONS = {
    "normalise": _normalise,
    "conv": _conv,
    "relu": _relu,
    "gelu": _gelu,
    "silu": _silu,
    "maxpool": _maxpool,
    "gate": _gate,
    "sum": _sum,
    "residual": _residual,
    "gdn1": _gdn1,
}
