"""The benchmark as a picture: accuracy over the bytes that clients and server have sent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw(found: Mapping[str, Any], target: Path) -> None:
    """One line a method; the format is the target's suffix."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panel = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, curve in found["curves"].items():
        x = [point["bytes"] / 1e6 for point in curve]
        y = [100 * point["accuracy"] for point in curve]
        panel.plot(x, y, linewidth=2.5 if name == "ours" else 1.2, label=name)
    panel.axhline(100 * found["fedavg_accuracy"], color="grey", linestyle=":", linewidth=1)
    panel.set(xscale="log", xlabel="MB sent, up and down", ylabel="held-out accuracy, %")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    figure.savefig(target, dpi=90)
    plt.close(figure)
