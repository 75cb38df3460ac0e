"""The attacker: from a packet's dequantised latent to pixels, every operating point by one network.

A ridge regression in closed form draws what depends linearly on a latent and its neighbours; a
residual network of convolutions adds what does not (feature inversion: Dosovitskiy & Brox, CVPR
2016; against split inference: He, Zhang & Lee, ACSAC 2019).

Latents must be centred. A third of the shipped bundle's channels are almost constant and lie 20 to
170 of their deviations from zero: divided by the deviation alone they drown all others, and a
network draws the mean photograph whatever its packet.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.codec.frame import FrameCodec
from narrows.simulations.bench.inversion_data import View
from narrows.training import checkpoint

WIDTH, BLOCKS = 128, 4  # at the latent's resolution
FINE_WIDTH, FINE_BLOCKS = 64, 2  # at twice that
PENALTY = 1e-4  # of the ridge regression, for each position of a latent
BATCH = 16
RATE, WARM_UP = 1e-3, 0.05
FLOOR = 1e-4  # added to a squared error under its logarithm: nothing is won beyond 40 dB
MEASURED = 64  # photographs that go through together without training

Matrix = NDArray[np.floating]


def solve_ridge(
    blocks: Iterable[tuple[Matrix, Matrix]], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minimise |inputs @ weight + bias - outputs|^2 + penalty * rows * |weight|^2.

    `blocks`: (rows, inputs) beside (rows, outputs), each taken once. Returns weight
    (inputs, outputs) and bias (outputs,). By the normal equations; the bias is not penalised.
    """
    gram = cross = np.zeros((), np.float64)
    count = 0
    for inputs, outputs in blocks:
        rows = np.hstack([inputs, np.ones((len(inputs), 1), inputs.dtype)])
        gram = gram + (rows.T @ rows).astype(np.float64)
        cross = cross + (rows.T @ outputs).astype(np.float64)
        count += len(rows)
    penalties = np.full(len(gram), penalty * count)
    penalties[-1] = 0
    solution = np.linalg.solve(gram + np.diag(penalties), cross)
    return solution[:-1], solution[-1]


class Ridge(nn.Module):
    """The linear part at one operating point: 3 x 3 positions of a latent -> one cell of pixels."""

    shift: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, cell: int):
        super().__init__()
        self.register_buffer("shift", torch.zeros(channels, 1, 1))
        self.register_buffer("scale", torch.ones(channels, 1, 1))
        self.register_buffer("weight", torch.zeros(3 * cell**2, channels, 3, 3))
        self.register_buffer("bias", torch.zeros(3 * cell**2))
        self.cell = cell

    def fit(self, codec: FrameCodec, point: int, view: View) -> None:
        """Solve for all photographs of a view, in place.

        A channel is scaled by its deviation, or by the quantiser's step where that is more.
        """
        parts = [slice(i, i + MEASURED) for i in range(0, len(view), MEASURED)]
        sums = np.zeros((2, codec.channels))
        for part in parts:
            received = view.received(codec, point, part).double()
            sums += np.stack([received.sum((0, 2, 3)), received.square().sum((0, 2, 3))])
        mean, square = sums / len(view) / np.prod(view.latents.shape[2:])
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        scale = np.maximum(deviation, codec.points[point].inverse_gain)
        self.shift.copy_(torch.from_numpy(mean).view(-1, 1, 1))
        self.scale.copy_(torch.from_numpy(scale).view(-1, 1, 1))
        weight, bias = solve_ridge(
            (self._rows(view.received(codec, point, p), view.wanted(p)) for p in parts), PENALTY
        )
        self.weight.copy_(torch.from_numpy(weight.T).view_as(self.weight))
        self.bias.copy_(torch.from_numpy(bias))

    def _rows(self, received: Tensor, wanted: Tensor) -> tuple[Matrix, Matrix]:
        inputs = F.unfold(self.normalised(received), 3, padding=1)
        outputs = F.pixel_unshuffle(wanted, self.cell).flatten(2)
        return tuple(t.transpose(1, 2).flatten(0, 1).numpy() for t in (inputs, outputs))  # type: ignore[return-value]

    def normalised(self, received: Tensor) -> Tensor:
        """Of deviation one, at most, around zero: the same shape."""
        return (received - self.shift) / self.scale

    def forward(self, received: Tensor) -> Tensor:
        """Latents (batch, channels, h, w) -> cells (batch, 3 cell^2, h, w), for `pixel_shuffle`."""
        return F.conv2d(self.normalised(received), self.weight, self.bias, padding=1)


class _Block(nn.Module):
    """x + conv(relu(conv(relu(x)))), which starts as x."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.second(F.relu(self.first(F.relu(x))))
        return x + inner


class Inverter(nn.Module):
    """Latents of any operating point -> pixels; before training, what ridge regression draws."""

    def __init__(self, points: int, channels: int, cell: int):
        """`cell`: pixels across for each position of a latent, even."""
        super().__init__()
        self.ridges = nn.ModuleList(Ridge(channels, cell) for _ in range(points))
        self.places = nn.Parameter(torch.zeros(points, WIDTH, 1, 1))  # which point it is
        self.stem = nn.Conv2d(channels + 3 * cell**2, WIDTH, 3, padding=1)
        last = nn.Conv2d(FINE_WIDTH, 3 * (cell // 2) ** 2, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.body = nn.Sequential(
            *(_Block(WIDTH) for _ in range(BLOCKS)),
            nn.Conv2d(WIDTH, 4 * FINE_WIDTH, 1), nn.PixelShuffle(2),
            *(_Block(FINE_WIDTH) for _ in range(FINE_BLOCKS)),
            nn.ReLU(), last, nn.PixelShuffle(cell // 2),
        )  # fmt: skip
        self.to(memory_format=torch.channels_last)

    def forward(self, received: Tensor, point: int) -> Tensor:
        """(batch, channels, h, w) -> (batch, 3, cell h, cell w), mostly within 0..1."""
        ridge = self.ridge(point)
        cells = ridge(received)
        inputs = torch.cat([ridge.normalised(received), 4 * cells - 2], 1)
        with torch.autocast("cpu", torch.bfloat16):
            added = self.body(self.stem(inputs) + self.places[point])
        return F.pixel_shuffle(cells, ridge.cell) + added.float()

    def ridge(self, point: int) -> Ridge:
        """The linear part at a point."""
        found = self.ridges[point]
        assert isinstance(found, Ridge)
        return found

    def parameters_trained(self) -> int:
        """How many numbers training moves: not those of the ridge regressions."""
        return sum(p.numel() for p in self.parameters())


def fit(
    network: Inverter,
    codec: FrameCodec,
    views: Sequence[View],
    epochs: int,
    state: Path,
    advance: Callable[[str, int], None],
) -> int:
    """Train in place; returns the number of steps, of BATCH photographs at one point each.

    `views` hold the same photographs in other ways (mirrored), the first is ridge regression's.
    `state` is a checkpoint, written after every epoch and gone on from where it exists: an epoch
    depends on its number alone. `advance` is told what is done and how many steps of it. What is
    maximised is the mean PSNR.
    """
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    steps = steps_of(len(views[0]))
    done = checkpoint.load(state, network, optimiser) if state.exists() else 0
    if not done:
        for point in range(len(codec.points)):
            network.ridge(point).fit(codec, point, views[0])
            advance(f"ridge regression, point {point}", 0)
    advance("training", done * steps)
    for epoch in range(done, epochs):
        rng = np.random.default_rng(epoch)
        order = rng.permutation(len(views[0]))
        for step in range(steps):
            _set_rate(optimiser, (epoch * steps + step + 1) / (epochs * steps))
            rows = order[step * BATCH : (step + 1) * BATCH]
            point, view = int(rng.integers(len(codec.points))), views[rng.integers(len(views))]
            drawn = network(view.received(codec, point, rows), point)
            error = (drawn - view.wanted(rows)).square().mean((1, 2, 3))
            loss = 10 * (error + FLOOR).log10().mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimiser.step()
            advance(f"epoch {epoch + 1}, {-loss.item():.1f} dB", 1)
        checkpoint.save(state, network, optimiser, epoch + 1)
    return epochs * steps


def steps_of(photographs: int) -> int:
    """Of an epoch."""
    return max(1, photographs // BATCH)


def _set_rate(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Linear to RATE over WARM_UP, then half a cosine to nothing."""
    rest = (share - WARM_UP) / (1 - WARM_UP)
    factor = share / WARM_UP if rest < 0 else (1 + math.cos(math.pi * rest)) / 2
    for group in optimiser.param_groups:
        group["lr"] = RATE * factor


@torch.no_grad()
def invert(network: Inverter, codec: FrameCodec, view: View, point: int) -> tuple[Tensor, Tensor]:
    """Photographs from their packets at a point: by ridge regression alone, and by the network.

    Both float32 (n, 3, side/2, side/2) in 0..1.
    """
    ridge = network.ridge(point)
    linear, whole = [], []
    for start in range(0, len(view), MEASURED):
        received = view.received(codec, point, slice(start, start + MEASURED))
        linear.append(F.pixel_shuffle(ridge(received), ridge.cell).clamp(0, 1))
        whole.append(network(received, point).clamp(0, 1))
    return torch.cat(linear), torch.cat(whole)
