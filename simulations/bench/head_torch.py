"""Heads in torch: eager, in fp32 and bf16, and compiled."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.simulations.bench.head_networks import Network

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def torch_eager(network: Network, threads: int) -> dict[str, Run]:
    """channels_last, as torch is fastest with on a CPU."""
    import torch

    torch.set_num_threads(threads)
    return {"fp32": _run(network, torch.float32), "bf16": _run(network, torch.bfloat16)}


def torch_compiled(network: Network, threads: int) -> dict[str, Run]:
    """Inductor; the first call compiles for half a minute."""
    import torch

    torch.set_num_threads(threads)
    return {"fp32": _run(network, torch.float32, torch.compile)}


def _run(network: Network, dtype: Any, wrap: Callable[[Any], Any] = lambda f: f) -> Run:
    import torch

    tensors = {
        name: torch.from_numpy(value if value.ndim != 2 else value[:, :, None, None]).to(dtype)
        for name, value in network.tensors.items()
    }
    tensors = {
        name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
        for name, value in tensors.items()
    }
    norm = network.layers[0]
    mean = torch.tensor(norm["mean"], dtype=torch.float32).view(1, 3, 1, 1)
    scale = 1 / torch.tensor(norm["std"], dtype=torch.float32).view(1, 3, 1, 1)

    def forward(pixels: Any) -> Any:
        x = ((pixels.permute(0, 3, 1, 2).float() - mean) * scale).to(dtype)
        return _chain(x, network.layers[1:], tensors).float()

    network_forward = wrap(forward)

    @torch.inference_mode()
    def run(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        latent: NDArray[np.float32] = network_forward(torch.from_numpy(image[None]))[0].numpy()
        return latent

    return run


def _chain(x: Any, layers: Iterable[dict[str, Any]], tensors: dict[str, Any]) -> Any:
    """(1, channels, height, width) through a layer list without its normalisation."""
    from torch.nn.functional import conv2d, relu

    for layer in layers:
        name = layer.get("weights")
        match layer["op"]:
            case "conv":
                weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
                x = conv2d(x, weight, bias, layer["stride"], layer["pad"])
            case "gdn1":
                x = x / conv2d(x.abs(), tensors[f"{name}.gamma"], tensors[f"{name}.beta"])
            case "relu":
                x = relu(x)
            case "residual":
                x = x + _chain(x, layer["body"], tensors)
    return x
