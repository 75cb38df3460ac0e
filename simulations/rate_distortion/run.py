"""`narrows bench rd`: train or load every method, measure it, report; goes on where it stopped."""

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from narrows.codec.manifest import Manifest
from narrows.errors import ConfigError
from narrows.images.labelled import LabelledImages
from narrows.models.bottlenecks.hyperprior import HyperBottleneck
from narrows.models.bottlenecks.uniform import UniformBottleneck
from narrows.models.bundle import TailRunner, load_tail
from narrows.simulations.evaluation import evenly
from narrows.simulations.quantisation import quantised
from narrows.simulations.rate_distortion.codecs import QUALITIES, check_codec
from narrows.simulations.rate_distortion.curve import Curve
from narrows.simulations.rate_distortion.device_only import DeviceOnly
from narrows.simulations.rate_distortion.learned_codecs import LEARNED, LearnedCodecSubject
from narrows.simulations.rate_distortion.measure import device_times, measure, read_frames
from narrows.simulations.rate_distortion.plots import draw
from narrows.simulations.rate_distortion.report import OURS, figures, print_figures, write_csv
from narrows.simulations.rate_distortion.subjects import (
    BundleSubject,
    CodecSubject,
    HyperSubject,
    Subject,
    UniformSubject,
)
from narrows.training.budget import of_epochs, quick
from narrows.training.export import calibrate, export
from narrows.training.recipe import Recipe, load_recipe
from narrows.training.run import Request, Started, models, partition, start
from narrows.training.split import SplitModel

DEVICE_ONLY = "device_only"
UNTRAINED = (*QUALITIES, *LEARNED, DEVICE_ONLY)  # everything else is a recipe
QUICK_PHOTOGRAPHS, QUICK_FRAMES = 400, 150


@dataclass(frozen=True)
class Benchmark:
    """What is asked for."""

    data: Path
    methods: tuple[str, ...]
    run: Path
    unsplit: Path  # a bundle: its network is split, unless a teacher is
    teacher: str | None
    teacher_weights: Path | None
    quick: bool
    epochs: int | None  # of every method; None: each recipe's own, and ours as the bundle is
    limit: int | None  # photographs measured
    seed: int


def run_rd_bench(asked: Benchmark, as_json: bool, csv: Path | None, plot: Path | None) -> None:
    """Measure and print. Raises NarrowsError."""
    console = Console(stderr=True)
    bench = _Bench(asked, lambda line: console.print(line, highlight=False))
    curves = [bench.curve(method) for method in asked.methods]
    with console.status("device times, methods in turn"):
        times = device_times(bench.subjects, bench.frames)
    found = figures(curves, bench.unsplit_right(), times)
    if csv:
        write_csv(found, csv)
    if plot:
        draw(found, plot)
    print(json.dumps(found)) if as_json else print_figures(found)


class _Bench:
    """One run directory: crops and unsplit network shared by all methods, a folder for each."""

    def __init__(self, asked: Benchmark, say: Callable[[str], None]):
        self.asked, self.say = asked, say
        self.subjects: dict[str, list[Subject]] = {}
        for method in asked.methods:
            if method in QUALITIES:
                check_codec(method)
        images = LabelledImages(asked.data)
        if asked.teacher is None:
            manifest, self.unsplit = Manifest.load(asked.unsplit), load_tail(asked.unsplit)
            rule = (manifest.input.short_side, manifest.input.max_aspect)
            folders = manifest.folders
        else:
            recipe = self._recipe(self._first_recipe())
            started = self._started(recipe)
            self.unsplit = TailRunner(copy.deepcopy(started.unsplit).cpu())
            rule, folders = (recipe.side, recipe.max_aspect), started.data.folders
        self.side, self.labels = rule[0], len(folders)
        _, kept_out, _ = partition(images, None)
        entries = evenly(kept_out, QUICK_FRAMES if asked.quick else asked.limit)
        self.frames = read_frames(images, entries, folders, *rule)

    def curve(self, method: str) -> Curve:
        """Measured now, or read where this very thing was measured before."""
        subjects = self.subjects[method] = list(self._made(method))
        kept = self._folder(method) / f"measured-{self._key(method, subjects)}.npz"
        if kept.exists():
            return Curve.load(kept)
        total = len(self.frames.targets) * sum(len(s.points) for s in subjects)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(method, total=total)
            curve = measure(
                method, subjects, self.frames, lambda done: progress.advance(task, done)
            )
        curve.save(kept)
        return curve

    def unsplit_right(self) -> NDArray[np.bool_]:
        """Which pictures the unsplit network answers rightly, uncompressed."""
        right = [
            self.unsplit.run_unsplit(np.stack(pictures)).argmax(1) == targets
            for pictures, targets in self.frames.batches()
        ]
        return np.concatenate(right)

    def _key(self, method: str, subjects: Sequence[Subject]) -> str:
        """Of what was measured: the photographs, and the method's own files."""
        digest = hashlib.sha256(self.frames.targets.tobytes())
        digest.update(str([self.asked.data.name, len(self.frames.targets)]).encode())
        for subject in subjects:
            digest.update(f"{subject.points}{subject.fingerprint}".encode())
        return digest.hexdigest()[:12]

    def _folder(self, method: str) -> Path:
        folder = self.asked.run / method
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _first_recipe(self) -> str:
        learned = [m for m in self.asked.methods if m not in UNTRAINED]
        return learned[0] if learned else OURS

    def _recipe(self, method: str) -> Recipe:
        recipe = load_recipe(method)
        recipe = quick(recipe) if self.asked.quick else recipe
        return of_epochs(recipe, self.asked.epochs) if self.asked.epochs else recipe

    def _request(self, recipe: Recipe) -> Request:
        asked = self.asked
        return Request(
            asked.data, recipe, self._folder(recipe.name), asked.teacher, asked.teacher_weights,
            asked.seed, None, None if asked.teacher else asked.unsplit,
            asked.run / "views.safetensors", QUICK_PHOTOGRAPHS if asked.quick else None,
        )  # fmt: skip

    def _started(self, recipe: Recipe) -> Started:
        return start(self._request(recipe), self.say)

    def _made(self, method: str) -> list[Subject]:
        if method in QUALITIES:
            return [CodecSubject(method, self.unsplit)]
        if method in LEARNED:
            return [LearnedCodecSubject(method, self.unsplit)]
        if method == DEVICE_ONLY:
            return [DeviceOnly(self.unsplit, self._folder(method), self.side, self.labels)]
        asked = self.asked
        if method == OURS and not (asked.teacher or asked.quick or asked.epochs):
            return [BundleSubject(asked.unsplit)]  # the shipped one is ours, trained in full
        recipe = self._recipe(method)
        started = self._started(recipe)
        return [
            self._subject(number, model, started, recipe)
            for number, model in enumerate(models(started, self._request(recipe), self.say))
        ]

    def _subject(self, number: int, model: SplitModel, started: Started, recipe: Recipe) -> Subject:
        folder = self._folder(recipe.name)
        if isinstance(model.bottleneck, HyperBottleneck):
            calibrate(model, started)
            return HyperSubject(model.cpu(), folder, recipe.side)
        if isinstance(model.bottleneck, UniformBottleneck):
            return UniformSubject(model.cpu(), folder, recipe.side)
        bundle = folder / f"bundle-{number}"
        manifest = export(bundle, recipe.name, model, started, recipe, {"seed": self.asked.seed})
        quantised(bundle, manifest, started.data.pictures, self.asked.data.name)
        return BundleSubject(bundle)


def check_methods(methods: str) -> tuple[str, ...]:
    """The names in a comma-separated list. Raises ConfigError for one that is nothing known."""
    names = tuple(name.strip() for name in methods.split(",") if name.strip())
    for name in names:
        if name not in UNTRAINED:
            load_recipe(name)
    if not names:
        raise ConfigError("--methods: expected names such as ours,patch_n4,jpeg")
    return names
