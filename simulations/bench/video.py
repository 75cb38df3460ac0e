"""`narrows bench video`: frames coded against the one before, beside intra coding, H.264 and H.265.

Sequences are made of held-out photographs (narrows.images.motion): a camera that stands, with its
noise, and one that pans. Video codecs are x264 and x265 by ffmpeg, without a look ahead, as a
device that sends each frame at once must have them, one key frame and then none; their bytes are
those of the bare stream. Scores are top-1 of every frame, by our tail or the unsplit network.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from narrows.codec import bitstream
from narrows.codec.frame import FrameCodec, load_frame_codec
from narrows.codec.inter import Reference
from narrows.codec.manifest import Manifest
from narrows.codec.video import VideoEncoder
from narrows.edge.head import HeadRunner, load_head
from narrows.errors import ConfigError
from narrows.images.labelled import LabelledImages
from narrows.images.motion import Motion, sequence
from narrows.images.preprocess import pad_to_stride, resize_and_crop
from narrows.models.bundle import TailRunner, load_tail
from narrows.simulations.evaluation import evenly
from narrows.simulations.rate_distortion.statistics import common

CAMERAS = {"static": Motion(noise=2.0), "panning": Motion(across=4.0, down=1.0, noise=2.0)}
LENGTH = 20  # frames of a sequence
CRFS = {"h264": (24, 30, 36, 42, 48), "h265": (24, 30, 36, 42, 48)}

Video = NDArray[np.uint8]  # (frames, height, width, 3)


@dataclass
class Row:
    """One way of sending at one setting, over all sequences."""

    setting: int  # operating point, or CRF
    bytes: list[float] = field(default_factory=list)  # a frame's, per sequence
    after_key: list[float] = field(default_factory=list)  # of all but the first frame; ours only
    right: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        found = {"setting": self.setting, "bytes": round(float(np.mean(self.bytes)), 1)}
        if self.after_key:
            found["bytes_after_key"] = round(float(np.mean(self.after_key)), 1)
        return found | {"accuracy": float(np.mean(self.right))}


def run_video_bench(bundle: Path, data: Path, limit: int, as_json: bool, plot: Path | None) -> None:
    """Measure and print. Raises NarrowsError."""
    manifest = Manifest.load(bundle)
    codec = load_frame_codec(bundle, manifest)
    if not codec.inter:
        raise ConfigError(f"{bundle}: no tables for videos: `narrows bundle video` adds them")
    contest = _Contest(manifest, codec, load_head(bundle, manifest), load_tail(bundle))
    images = LabelledImages(data)
    chosen = evenly(images.of_part(None), limit)
    rng = np.random.default_rng(0)
    for entry in track(chosen, "sequences", console=Console(stderr=True), transient=True):
        rule = manifest.input
        picture = resize_and_crop(images.image(entry.name), rule.short_side, rule.max_aspect)
        target = manifest.folders.index(entry.folder)
        for camera, motion in CAMERAS.items():
            frames = np.stack(list(sequence(picture, motion, LENGTH, rng)))
            contest.enter(camera, frames, target)
    found = contest.figures() | {"sequences": len(chosen), "frames": LENGTH}
    if plot:
        _draw(found, plot)
    print(json.dumps(found)) if as_json else _print(found)


class _Contest:
    def __init__(self, manifest: Manifest, codec: FrameCodec, head: HeadRunner, tail: TailRunner):
        self.manifest, self.codec, self.head, self.tail = manifest, codec, head, tail
        points = range(len(codec.points))
        ways: dict[str, Sequence[int]] = {"intra": points, "inter": points}
        if shutil.which("ffmpeg"):
            ways |= CRFS
        self.rows = {c: {w: [Row(s) for s in ways[w]] for w in ways} for c in CAMERAS}
        self.unsplit: dict[str, list[float]] = {c: [] for c in CAMERAS}

    def enter(self, camera: str, frames: Video, target: int) -> None:
        """Send one sequence in every way."""
        self.unsplit[camera].append(self._unsplit(frames, target))
        padded = [pad_to_stride(f, self.manifest.input.stride) for f in frames]
        latents = [self.head.run(f) for f in padded]
        for way, rows in self.rows[camera].items():
            for row in rows:
                if way in CRFS:
                    size, received = _through(way, row.setting, frames)
                    right = self._unsplit(received, target)
                else:
                    sizes, decoded = self._ours(way == "inter", latents, row.setting)
                    size = sum(sizes)
                    row.after_key.append(float(np.mean(sizes[1:])))
                    right = float((self.tail.run(decoded).argmax(1) == target).mean())
                row.bytes.append(size / len(frames))
                row.right.append(right)

    def _unsplit(self, frames: Video, target: int) -> float:
        padded = np.stack([pad_to_stride(f, self.manifest.input.stride) for f in frames])
        return float((self.tail.run_unsplit(padded).argmax(1) == target).mean())

    def _ours(
        self, inter: bool, latents: Sequence[NDArray[np.float32]], point: int
    ) -> tuple[list[int], NDArray[np.float32]]:
        """Every packet's bytes, and latents as the server has them."""
        encoder, before = VideoEncoder(self.codec), None
        decoded, sizes = [], []
        for latent in latents:
            data = encoder.encode(latent, point)[0] if inter else self.codec.encode(latent, point)
            symbols = self.codec.decode_symbols(bitstream.parse(data), before)
            before = Reference(symbols, point)
            decoded.append(self.codec.dequantise(symbols, point))
            sizes.append(len(data))
        return sizes, np.stack(decoded)

    def figures(self) -> dict[str, Any]:
        """The JSON object: per camera, every way's points, and ratios of bytes."""
        found: dict[str, Any] = {}
        for camera, ways in self.rows.items():
            curves = {way: [row.figures() for row in rows] for way, rows in ways.items()}
            unsplit = float(np.mean(self.unsplit[camera]))
            found[camera] = {
                "unsplit_accuracy": unsplit,
                "methods": curves,
                "inter_over_intra": _ratios(curves, "bytes"),
                "inter_over_intra_after_key": _ratios(curves, "bytes_after_key"),
                "bytes_ratio_at_common": _against(curves),
            }
        return found


def _ratios(curves: dict[str, Any], key: str) -> list[float]:
    """Per operating point: bytes of inter over intra."""
    pairs = zip(curves["inter"], curves["intra"], strict=True)
    return [round(a[key] / b[key], 3) for a, b in pairs]


def _against(curves: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Inter's bytes over each other way's at the highest accuracy that both reach."""
    points = {
        way: [(row["bytes"], row["accuracy"]) for row in rows] for way, rows in curves.items()
    }
    ours = points.pop("inter")
    return {way: common(ours, theirs) for way, theirs in points.items()}


def _through(codec: str, crf: int, frames: Video) -> tuple[int, Video]:
    """A sequence through x264 or x265: bytes of the bare stream, and what it decodes to."""
    height, width = frames.shape[1:3]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "10"]
    encoder = {"h264": "libx264", "h265": "libx265"}[codec]
    live = ["-preset", "medium", "-tune", "zerolatency", "-g", "1000", "-crf", str(crf)]
    quiet = ["-x265-params", "log-level=none"] if codec == "h265" else []
    form = {"h264": "h264", "h265": "hevc"}[codec]
    stream = _ffmpeg(
        [*raw, "-i", "-", "-c:v", encoder, *live, *quiet, "-pix_fmt", "yuv420p", "-f", form, "-"],
        frames.tobytes(),
    )
    decoded = _ffmpeg(["-f", form, "-i", "-", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], stream)
    return len(stream), np.frombuffer(decoded, np.uint8).reshape(frames.shape)


def _ffmpeg(arguments: Sequence[str], data: bytes) -> bytes:
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-threads", "1", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, float]]]:
    for camera in CAMERAS:
        for way, rows in found[camera]["methods"].items():
            for row in rows:
                yield camera, way, row


def _print(found: dict[str, Any]) -> None:
    table = Table("camera", "sent as", "point or CRF", "bytes a frame", "accuracy")
    for camera, way, row in _lines(found):
        cells = (f"{row['setting']:.0f}", f"{row['bytes']:,.0f}", f"{row['accuracy']:.1%}")
        table.add_row(camera, way, *cells)
    console = Console()
    console.print(table)
    for camera in CAMERAS:
        for key, words in (("", "with its key frame"), ("_after_key", "once it runs")):
            ratios = ", ".join(f"{r:.2f}" for r in found[camera][f"inter_over_intra{key}"])
            console.print(f"{camera}: inter over intra, point by point, {words}: {ratios}")


def _draw(found: dict[str, Any], target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained", sharey=True)
    for panel, camera in zip(panels, CAMERAS, strict=True):
        for way, rows in found[camera]["methods"].items():
            x, y = [r["bytes"] for r in rows], [100 * r["accuracy"] for r in rows]
            panel.plot(x, y, marker="o", linewidth=2.5 if way == "inter" else 1.2, label=way)
        unsplit = 100 * found[camera]["unsplit_accuracy"]
        panel.axhline(unsplit, color="grey", linestyle=":", linewidth=1)
        panel.set(xscale="log", xlabel="bytes a frame", title=f"{camera} camera")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    panels[0].set(ylabel="accuracy, %; dotted: the unsplit network")
    figure.savefig(target, dpi=110)
    plt.close(figure)
