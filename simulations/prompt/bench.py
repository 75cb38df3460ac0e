"""Three ways to fine-tune on devices' pictures, on the same partition, with all that they cost.

Split with prompts (`narrows.federated.prompt`), all weights by FedAvg, and a linear probe by FedAvg
that is held and run whole on the device. After every round the server's model is scored on
photographs that no device has; for the split one through its codec.
"""

import copy
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, Strategy
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

from narrows.errors import SourceError
from narrows.federated.partition import dirichlet
from narrows.federated.prompt.coding import Coding
from narrows.federated.prompt.device import Examples, PromptDevice
from narrows.federated.prompt.messages import Terms
from narrows.federated.prompt.network import (
    TOGETHER,
    Learned,
    ThreeParts,
    cut_in_three,
    predict,
)
from narrows.federated.prompt.strategy import PromptTuning
from narrows.images.labelled import LabelledImages
from narrows.models.backbones import Backbone
from narrows.simulations.bench.race import machine
from narrows.simulations.prompt.baselines import (
    full_app,
    probe_app,
    put_weights,
    weights_of,
    whole_outputs,
)
from narrows.simulations.prompt.grid import MeasuredNodes
from narrows.simulations.prompt.report import draw_prompt, print_prompt
from narrows.training.data import load_photographs
from narrows.training.teacher import load_teacher

EARLIEST = 4  # a backbone's stride: its front is the longest list of layers to cut in
PAPER = {"device_arithmetic_ratio": 0.0046, "traffic_ratio": 0.47}  # of SFPrompt's own abstract


@dataclass(frozen=True)
class Asked:
    """What is run."""

    data: Path  # photographs with parts train and val
    teacher: str
    teacher_weights: Path | None
    clients: int
    rounds: int
    epochs: int  # of a device in a round, in all three ways
    alpha: float
    side: int
    labels: int | None  # the first so many classes
    head_layers: int
    kept: float
    prompt_rate: float
    full_rate: float
    seed: int


@dataclass(frozen=True, eq=False)
class _Data:
    devices: list[Examples]
    held_out: Examples
    labels: int

    def of(self, context: Context) -> Examples:
        return self.devices[int(context.node_config["partition-id"])]


def run_prompt_bench(asked: Asked, as_json: bool, plot: Path | None) -> None:
    """Measure and print. Raises NarrowsError."""
    logging.getLogger("flwr").setLevel(logging.ERROR)  # a line for each step of each round
    data, torch_threads = _dealt(asked), torch.get_num_threads()
    torch.set_num_threads(1)
    backbone = load_teacher(asked.teacher, asked.teacher_weights, data.labels, EARLIEST)
    torch.nn.init.zeros_(backbone.classifier.weight)
    torch.nn.init.zeros_(backbone.classifier.bias)
    split = _split(asked, data, copy.deepcopy(backbone))
    probe = _probe(asked, data, copy.deepcopy(backbone))
    full = _full(asked, data, backbone)
    torch.set_num_threads(torch_threads)
    found = _figures(asked, data, split, probe, full)
    if plot:
        draw_prompt(found, plot)
    print(json.dumps(found)) if as_json else print_prompt(found)


def _split(asked: Asked, data: _Data, backbone: Backbone) -> dict[str, Any]:
    terms, parts = _terms(asked), cut_in_three(backbone, asked.head_layers)
    app = ClientApp()
    PromptDevice(parts.head, data.of).answer(app)
    strategy = PromptTuning(_average(asked), parts.body, terms)
    features = _received(parts, data.held_out.pixels, terms)

    def logits(arrays: ArrayRecord) -> Tensor:
        return predict(parts.body, features, Learned.from_arrays(arrays))

    beginning = parts.beginning(asked.side)
    found = _run("split, prompts", asked, data, app, strategy, beginning.to_arrays(), logits, 3)
    pictures = sum(report.pictures for report in strategy.reports)
    shape = tuple(beginning.prompt.shape)
    return found | {"pictures_through_body": pictures, "prompt_shape": shape}


def _probe(asked: Asked, data: _Data, backbone: Backbone) -> dict[str, Any]:
    backbone.eval().requires_grad_(False)
    x = whole_outputs(backbone, data.held_out.pixels)
    width = x.shape[1]
    nothing = Learned(
        torch.zeros(1, 1, 1), torch.zeros(data.labels, width), torch.zeros(data.labels)
    )

    def logits(arrays: ArrayRecord) -> Tensor:
        learned = Learned.from_arrays(arrays)
        return F.linear(x, learned.weight, learned.bias)

    app = probe_app(backbone, data.of, _terms(asked))
    arrays = nothing.to_arrays()
    return _run("linear probe", asked, data, app, _average(asked), arrays, logits, 1)


def _full(asked: Asked, data: _Data, backbone: Backbone) -> dict[str, Any]:
    def logits(arrays: ArrayRecord) -> Tensor:
        put_weights(backbone, arrays)
        x = whole_outputs(backbone.eval(), data.held_out.pixels)
        return F.linear(x, backbone.classifier.weight, backbone.classifier.bias).detach()

    app = full_app(backbone, data.of, _terms(asked), asked.full_rate)
    arrays = weights_of(backbone)
    return _run("all weights", asked, data, app, _average(asked), arrays, logits, 1)


def _run(
    name: str,
    asked: Asked,
    data: _Data,
    app: ClientApp,
    strategy: Strategy,
    arrays: ArrayRecord,
    logits: Callable[[ArrayRecord], Tensor],
    exchanges: int,
) -> dict[str, Any]:
    """Rounds, with progress; accuracy, bytes and multiply-adds after each."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    curve: list[dict[str, float]] = []
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        total = asked.rounds * asked.clients * exchanges
        task = progress.add_task(name, total=total)
        grid = MeasuredNodes(app, asked.clients, lambda: progress.advance(task))

        def score(number: int, now: ArrayRecord) -> MetricRecord:
            right = logits(now).argmax(1) == data.held_out.labels
            accuracy = float(right.float().mean())
            if number:
                progress.console.print(f"{name}, round {number}: {accuracy:.1%}", highlight=False)
                curve.append(
                    {"accuracy": accuracy, "bytes_up": grid.bytes_up}
                    | {"bytes_down": grid.bytes_down, "multiply_adds": grid.multiply_adds}
                )
            return MetricRecord({"accuracy": accuracy})

        strategy.start(grid, arrays, num_rounds=asked.rounds, evaluate_fn=score)
    return {"rounds": curve}


def _figures(
    asked: Asked, data: _Data, split: dict[str, Any], probe: dict[str, Any], full: dict[str, Any]
) -> dict[str, Any]:
    ours, theirs, third = (way["rounds"][-1] for way in (split, full, probe))

    def ratios(way: dict[str, float]) -> dict[str, float]:
        traffic = _traffic(way) / _traffic(theirs)
        return {
            "device_arithmetic_ratio": way["multiply_adds"] / theirs["multiply_adds"],
            "traffic_ratio": traffic,
        }

    return {
        "accuracy": ours["accuracy"],
        "full_accuracy": theirs["accuracy"],
        "probe_accuracy": third["accuracy"],
        **ratios(ours),
        "bytes_up": ours["bytes_up"],
        "bytes_down": ours["bytes_down"],
        "full_bytes": _traffic(theirs),
        "probe": ratios(third),
        "paper": PAPER,
        "asked": {k: str(v) if isinstance(v, Path) else v for k, v in asdict(asked).items()},
        "photographs": sum(len(d.labels) for d in data.devices),
        "held_out": len(data.held_out.labels),
        "smallest_device": min(len(d.labels) for d in data.devices),
        "labels": data.labels,
        "prompt_shape": split["prompt_shape"],
        "pictures_through_body": split["pictures_through_body"],
        "rounds": {"split": split["rounds"], "full": full["rounds"], "probe": probe["rounds"]},
        "machine": machine(),
    }


def _traffic(way: dict[str, float]) -> float:
    return way["bytes_up"] + way["bytes_down"]


def _terms(asked: Asked) -> Terms:
    return Terms(
        local_epochs=asked.epochs,
        kept=asked.kept,
        prompt_rate=asked.prompt_rate,
        seed=asked.seed,
    )


def _average(asked: Asked) -> Strategy:
    return FedAvg(fraction_evaluate=0.0, min_available_nodes=min(2, asked.clients))


@torch.no_grad()
def _received(parts: ThreeParts, pixels: Tensor, terms: Terms) -> Tensor:
    """Held-out pictures' features as a server has them, coded and decoded."""
    features = torch.cat([parts.head(part) for part in pixels.split(TOGETHER)])
    flat = features.flatten(2).numpy()
    coding = Coding.fit(flat, terms.activation_step)
    strings = [coding.encode(flat[i : i + 1]) for i in range(len(flat))]
    return torch.from_numpy(coding.decode(strings, 1, flat.shape[2])).reshape(features.shape)


def _dealt(asked: Asked) -> _Data:
    images = LabelledImages(asked.data)
    train, held_out = (_read(images, part, asked) for part in ("train", "val"))
    labels = int(train.labels.max()) + 1
    rows = dirichlet(train.labels.numpy(), asked.clients, asked.alpha, asked.seed)
    parts = [torch.from_numpy(r) for r in rows]
    return _Data([Examples(train.pixels[r], train.labels[r]) for r in parts], held_out, labels)


def _read(images: LabelledImages, part: str, asked: Asked) -> Examples:
    folders = sorted({entry.folder for entry in images.of_part("train")})[: asked.labels]
    entries = tuple(e for e in images.of_part(part) if e.folder in folders)
    if len({e.folder for e in entries}) < len(folders):
        raise SourceError(f"{images.root}: part {part} lacks classes of part train")
    found = load_photographs(images, entries, asked.side, 1.0, tuple(folders))
    pixels = torch.from_numpy(np.stack(found.pictures)).permute(0, 3, 1, 2).contiguous()
    return Examples(pixels, found.targets)
