"""One of two training processes, in a module that a spawned process can import by name."""

import json
from pathlib import Path

import torch
from torch import nn

from narrows.training.log import Log
from narrows.training.loop import decayed_groups, fit
from narrows.training.recipe import Phase
from narrows.training.views import Pool


def one_of_two(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    model(torch.zeros(2, 3, 8, 8))
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (24, 3, 8, 8), dtype=torch.uint8, generator=rng)
    pool = Pool(pixels, torch.arange(24) % 2, None, None, 24)

    def step(batch, share):
        return nn.functional.cross_entropy(model(batch.pixels / 255), batch.targets)

    phase = Phase(epochs=2, batch=4, learning_rate=1e-2, side=32)
    phase = phase.model_copy(update={"side": 8})
    here = Path(folder)
    groups = decayed_groups(model, phase)
    fit(model, groups, step, pool, phase, 1, here / "state", Log(here / str(rank), lambda _: None))
    state = {k: v.double().sum().item() for k, v in model.state_dict().items()}
    (here / f"rank{rank}.json").write_text(json.dumps(state))
    torch.distributed.destroy_process_group()
