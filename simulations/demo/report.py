"""The demonstration as a page: rate against accuracy, where time goes, photographs with answers."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from narrows.images.labelled import Entry, LabelledImages
from narrows.images.preprocess import resize_and_crop
from narrows.simulations.demo.figures import STAGES
from narrows.simulations.demo.tables import judged_by
from narrows.simulations.evaluation import evenly

matplotlib.use("Agg")
from matplotlib import pyplot as plt

SHOWN_PHOTOGRAPHS = 12
SIDE = 224  # pixels of a shown photograph
STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}img{max-width:100%}"
)


def write_report(
    folder: Path,
    result: Mapping[str, Any],
    images: LabelledImages,
    entries: Sequence[Entry],
    answers: Mapping[str, str],
) -> None:
    """Write `folder/index.html` and its pictures; opens nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    _rate_plot(folder / "rate.png", result)
    _time_plot(folder / "time.png", result)
    _photographs(folder / "photographs.png", images, entries, answers)
    (folder / "index.html").write_text(_page(result))


def _rate_plot(target: Path, result: Mapping[str, Any]) -> None:
    key = judged_by(result)
    figure, axes = plt.subplots(figsize=(7, 4.5))
    points = sorted(result["points"], key=lambda row: row["packet_bytes"])
    curve = [row["packet_bytes"] for row in points], [100 * row[key] for row in points]
    axes.plot(*curve, "o-", linewidth=2, label="Narrows, one network, a point per frame")
    for codec, name in (
        ("jpeg", "JPEG to the unsplit network"),
        ("webp", "WebP to the unsplit network"),
    ):
        rows = sorted(result["curves"][codec], key=lambda row: row["bytes"])
        axes.plot([r["bytes"] for r in rows], [100 * r[key] for r in rows], ".--", label=name)
    if result["unsplit_accuracy"] is not None:
        axes.axhline(
            100 * result["unsplit_accuracy"],
            color="grey",
            linewidth=1,
            label="unsplit, uncompressed",
        )
    axes.set(xscale="log", xlabel="bytes a frame, without framing", ylabel=f"{key} (%)")
    axes.set_ylim(bottom=max(0, min(curve[1]) - 12))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    _save(figure, target)


def _time_plot(target: Path, result: Mapping[str, Any]) -> None:
    figure, axes = plt.subplots(figsize=(7, 3.5))
    chosen = next(row for row in result["points"] if row["id"] == result["recommended_point"])
    rows = {f"point {chosen['id']}": chosen} | result["uploads"]
    left = dict.fromkeys(rows, 0.0)
    for stage in STAGES:
        values = {name: row["latency_ms"]["stages"][stage]["p50"] for name, row in rows.items()}
        axes.barh(list(rows), list(values.values()), left=list(left.values()), label=stage)
        left = {name: left[name] + values[name] for name in rows}
    axes.set(xlabel=f"milliseconds (median of each stage), link {result['link']}")
    axes.invert_yaxis()
    axes.legend(ncols=5, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.25))
    _save(figure, target)


def _save(figure: Any, target: Path) -> None:
    figure.savefig(target, dpi=110, bbox_inches="tight")
    plt.close(figure)


def _photographs(
    target: Path, images: LabelledImages, entries: Sequence[Entry], answers: Mapping[str, str]
) -> None:
    shown = evenly(entries, SHOWN_PHOTOGRAPHS)
    columns = 4
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGB", (columns * SIDE, rows * SIDE), "white")
    for place, entry in enumerate(shown):
        picture = Image.fromarray(resize_and_crop(images.image(entry.name), SIDE, 1.0))
        _caption(picture, answers.get(str(images.root / entry.name), "no answer"))
        sheet.paste(picture, (place % columns * SIDE, place // columns * SIDE))
    sheet.save(target)


def _caption(picture: Image.Image, text: str) -> None:
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(18)
    draw.rectangle((0, SIDE - 26, SIDE, SIDE), fill="black")
    draw.text((6, SIDE - 25), text, fill="white", font=font)


def _page(result: Mapping[str, Any]) -> str:
    key = judged_by(result)
    rows = {f"point {row['id']}": row for row in result["points"]}
    rows |= {f"{codec} q{row['quality']}": row for codec, row in result["uploads"].items()}
    table = "".join(_row(name, row, key) for name, row in rows.items())
    title = f"Narrows: {result['frames']} frames over {result['link']}"
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>"
        f"<p>{html.escape(result['photographs'])}, bundle "
        f"{html.escape(result['bundle'])}.</p><img src=rate.png alt='rate and accuracy'>"
        f"<table><tr><th>sent<th>{key}<th>packet bytes<th>wire bytes"
        f"<th>p50 ms<th>p99 ms{table}</table>"
        f"<img src=time.png alt='where the time goes'>"
        f"<img src=photographs.png alt='photographs with their labels'>\n"
    )


def _row(name: str, row: Mapping[str, Any], key: str) -> str:
    latency = row["latency_ms"]
    cells = (
        html.escape(name),
        f"{row[key]:.1%}",
        f"{row['packet_bytes']:,.0f}",
        f"{row['wire_bytes']:,.0f}",
        f"{latency['p50']:.1f}",
        f"{latency['p99']:.1f}",
    )
    return "<tr>" + "".join(f"<td>{cell}" for cell in cells)
