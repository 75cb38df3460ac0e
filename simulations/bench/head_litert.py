"""Heads on LiteRT, whose CPU kernels are XNNPACK's: what most phones and boards run."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.simulations.bench.head_networks import Network

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def litert(network: Network, threads: int) -> dict[str, Run]:
    """fp32."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=_model(network), num_threads=threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def run(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        latent: NDArray[np.float32] = interpreter.get_tensor(target)[0].transpose(2, 0, 1)
        return latent

    return {"fp32": run}


def _model(network: Network) -> bytes:
    """The layer list as a flatbuffer of LiteRT's schema, channels last."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    graph = _Graph(schema)
    image = graph.tensor((1, network.side, network.side, 3), schema.TensorType.UINT8)
    latent = _chain(graph, graph.add("CAST", [image]), network.layers, network.tensors)
    subgraph = schema.SubGraphT()
    subgraph.tensors, subgraph.operators = graph.tensors, graph.operators
    subgraph.inputs, subgraph.outputs = [image], [latent]
    model = schema.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [subgraph], graph.buffers
    model.operatorCodes = graph.codes
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Graph:
    def __init__(self, schema: Any):
        self.schema, self.tensors, self.operators, self.codes = schema, [], [], []  # type: ignore[var-annotated]
        self.buffers = [schema.BufferT()]  # the first is the empty one of activations

    def tensor(self, shape: Iterable[int], kind: int, buffer: int = 0) -> int:
        tensor = self.schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), kind, buffer
        tensor.name = f"t{len(self.tensors)}"
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, value: NDArray) -> int:
        buffer = self.schema.BufferT()
        buffer.data = np.ascontiguousarray(value).view(np.uint8).ravel()
        self.buffers.append(buffer)
        kinds = {"float32": self.schema.TensorType.FLOAT32, "int32": self.schema.TensorType.INT32}
        return self.tensor(value.shape, kinds[value.dtype.name], len(self.buffers) - 1)

    def add(
        self, op: str, inputs: list[int], shape: Iterable[int] = (), options: Any = None
    ) -> int:
        """An operator; its output has `shape`, or its first input's."""
        operator, code = self.schema.OperatorT(), self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, op)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        self.codes.append(code)
        operator.opcodeIndex = len(self.codes) - 1
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, name)
            operator.builtinOptions = options
        shape = tuple(shape) or tuple(self.tensors[inputs[0]].shape)
        output = self.tensor(shape, self.schema.TensorType.FLOAT32)
        operator.inputs, operator.outputs = inputs, [output]
        self.operators.append(operator)
        return output


def _chain(
    graph: _Graph, x: int, layers: Iterable[dict[str, Any]], tensors: dict[str, NDArray]
) -> int:
    for layer in layers:
        name = layer.get("weights")
        match layer["op"]:
            case "normalise":
                mean = graph.constant(np.array(layer["mean"], np.float32))
                scale = graph.constant(1 / np.array(layer["std"], np.float32))
                x = graph.add("MUL", [graph.add("SUB", [x, mean]), scale])
            case "conv":
                weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
                x = _conv(graph, x, weight, bias, layer["stride"], layer["pad"])
            case "gdn1":
                gamma, beta = tensors[f"{name}.gamma"], tensors[f"{name}.beta"]
                norm = _conv(graph, graph.add("ABS", [x]), gamma[:, :, None, None], beta, 1, 0)
                x = graph.add("DIV", [x, norm], options=graph.schema.DivOptionsT())
            case "relu":
                x = graph.add("RELU", [x])
            case "residual":
                x = graph.add("ADD", [x, _chain(graph, x, layer["body"], tensors)])
    return x


def _conv(graph: _Graph, x: int, weight: NDArray, bias: NDArray, stride: int, pad: int) -> int:
    _, height, width, _ = graph.tensors[x].shape
    kernel = weight.shape[-1]
    if pad:
        height, width = height + 2 * pad, width + 2 * pad
        sides = np.array([[0, 0], [pad, pad], [pad, pad], [0, 0]], np.int32)
        shape = (1, height, width, weight.shape[1])
        x = graph.add("PAD", [x, graph.constant(sides)], shape, graph.schema.PadOptionsT())
    options = graph.schema.Conv2DOptionsT()
    options.strideH = options.strideW = stride
    options.padding = graph.schema.Padding.VALID
    shape = (1, (height - kernel) // stride + 1, (width - kernel) // stride + 1, len(weight))
    inputs = [x, graph.constant(weight.transpose(0, 2, 3, 1)), graph.constant(bias)]
    return graph.add("CONV_2D", inputs, shape, options)
