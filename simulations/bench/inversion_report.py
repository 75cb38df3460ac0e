"""What `narrows bench inversion` shows: a table for the terminal, and pictures side by side."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor


def print_inversion(found: Mapping[str, Any]) -> None:
    """Every operating point, and what bounds it from below and above."""
    attacker = found["attacker"]
    table = Table(
        "from", "bytes", "attack", "same class", "ridge alone", "JPEG", "WebP",
        title=f"{found['photographs']} photographs at {found['side']} pixels: PSNR in dB, SSIM",
        caption=f"{attacker['parameters']:,} parameters, {attacker['steps']:,} steps of "
        f"{attacker['batch']} of {attacker['photographs']:,} photographs",
    )  # fmt: skip
    mean = found["mean_photograph"]
    table.add_row("mean photograph", "0", _cell(mean), f"{mean['same_class']:.0%}")
    for row in found["points"]:
        table.add_row(
            f"point {row['point']}", f"{row['bytes']:.0f}", _cell(row["attack"]),
            f"{row['attack']['same_class']:.0%}",
            *(_cell(row[name]) for name in ("ridge", "jpeg", "webp")),
        )  # fmt: skip
    for row in found["thumbnails"]:
        table.add_row(f"{row['side']} x {row['side']} thumbnail", "", _cell(row))
    Console().print(table)


def _cell(row: Mapping[str, float]) -> str:
    return f"{row['psnr']:.1f}, {row['ssim']:.2f}"


def draw_inversion(columns: Sequence[tuple[str, Tensor]], target: Path) -> None:
    """A column for each title and its (n, 3, h, w) pictures in 0..1, as a PNG of 256 colours."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = len(columns[0][1])
    size = (1.25 * len(columns), 1.25 * rows + 0.3)
    figure, panels = plt.subplots(
        rows, len(columns), figsize=size, squeeze=False, layout="constrained"
    )
    for column, (title, pictures) in zip(panels.T, columns, strict=True):
        column[0].set_title(title, fontsize=8)
        for panel, picture in zip(column, pictures, strict=True):
            panel.imshow(picture.permute(1, 2, 0).numpy(), interpolation="nearest")
            panel.axis("off")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    plt.close(figure)
    # A quarter of the bytes: photographs compress badly as PNG.
    Image.open(drawn).convert("RGB").quantize(256).save(target, "png", optimize=True)
