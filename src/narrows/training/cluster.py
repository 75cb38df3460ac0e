"""The same training on several processes of a Ray cluster, each on its own GPU or CPU cores.

Every worker runs the very run that one process would, on every n-th batch, and averages gradients
(training/loop.py). Checkpoints are the run directory's, which all machines must share; afterwards
the command goes on by itself, as after a kill, from what they left.
"""

from pathlib import Path
from typing import Any

import torch

from narrows.errors import ConfigError
from narrows.training.recipe import Recipe
from narrows.training.run import Request, models, start


def train_on_cluster(request: Request, workers: int, cores: int = 1) -> None:
    """Train every phase on `workers` processes, with a GPU each where the driver sees one.

    `cores`: CPU cores of a worker. Joins the cluster of RAY_ADDRESS, else starts one here.

    Raises:
        ConfigError: Ray's training library is not installed, or the run failed; the reason is told.
    """
    try:
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer
    except ImportError as error:
        raise ConfigError(f"{error}: several workers need Ray: pip install 'ray[train]'") from None
    request.run.mkdir(parents=True, exist_ok=True)
    _start_data(request)
    gpu = torch.cuda.is_available()
    trainer = TorchTrainer(
        _worker,
        train_loop_config=_plain(request),
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=gpu, resources_per_worker={"CPU": cores}
        ),
        run_config=RunConfig(name="narrows", storage_path=str((request.run / "ray").absolute())),
    )
    try:
        trainer.fit()
    except Exception as error:  # Ray's errors share no base that older versions have too
        raise ConfigError(f"training on {workers} workers failed: {error}") from error


def _start_data(request: Request) -> None:
    """Make the crops once, here, rather than in every worker at the same time."""
    start(request, lambda line: None)


def _worker(plain: dict[str, Any]) -> None:
    request = _request(plain)
    if torch.cuda.is_available():
        from ray.train.torch import get_device

        torch.cuda.set_device(get_device())
    started = start(request, lambda line: None)
    for _ in models(started, request, lambda line: None):
        pass


def _plain(request: Request) -> dict[str, Any]:
    """What any worker can read, whatever its working directory."""
    fields = dict(vars(request))
    for name, value in fields.items():
        if isinstance(value, Path):
            fields[name] = str(value.absolute())
    more = [str(path.absolute()) for path in request.more]
    return fields | {"recipe": request.recipe.model_dump(mode="json"), "more": more}


def _request(plain: dict[str, Any]) -> Request:
    paths = ("data", "run", "teacher_weights", "unsplit", "crops", "begin")
    fields: dict[str, Any] = {
        name: Path(value) if name in paths and value is not None else value
        for name, value in plain.items()
    }
    fields["more"] = tuple(Path(path) for path in plain["more"])
    fields["recipe"] = Recipe.model_validate(plain["recipe"])
    return Request(**fields)
