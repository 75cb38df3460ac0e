"""Training state on disk, without pickle: tensors as safetensors, scalars as its metadata."""

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


def save(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, epoch: int) -> None:
    """Write atomically: a kill leaves the previous checkpoint whole."""
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": _as_tensor(v) for k, v in state.items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"epoch": str(epoch)})
    os.replace(partial, path)


def load(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Restore both in place; returns the number of finished epochs."""
    tensors = load_file(path)
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".")
            state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict(
        {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
    )
    with safe_open(path, "pt") as file:
        return int(file.metadata()["epoch"])


def _as_tensor(value: Tensor | float) -> Tensor:
    return value.contiguous() if isinstance(value, Tensor) else torch.tensor(value)
