"""The queueing curve as a picture: p50 and p99 against a replica's devices, and the deadline."""

from pathlib import Path

import matplotlib
import numpy as np

from narrows.simulations.planning.plan import Plan

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def draw(target: Path, plan: Plan) -> None:
    """Write a PNG; loads at which more than one in a hundred is refused have no p99."""
    figure, axes = plt.subplots(figsize=(7, 4.2))
    points = plan.curve.points
    devices = [point.devices for point in points]
    for name in ("p50_ms", "p99_ms"):
        values = [getattr(point, name) for point in points]
        finite = [value if np.isfinite(value) else np.nan for value in values]
        axes.plot(devices, finite, "o-", label=name.removesuffix("_ms"))
    axes.axhline(plan.need.deadline_ms, color="grey", linewidth=1, label="deadline")
    axes.axvline(plan.curve.capacity, color="tab:red", linewidth=1, label="most devices")
    mean = plan.fleet.devices_per_replica
    axes.axvline(mean, color="tab:green", linewidth=1, label="a fleet's mean")
    axes.set(
        xlabel=f"devices of one replica, {plan.need.fps:g} frames/s each", ylabel="latency, ms"
    )
    axes.set_ylim(bottom=0, top=1.5 * plan.need.deadline_ms)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    plt.close(figure)
