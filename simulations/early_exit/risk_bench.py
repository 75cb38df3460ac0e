"""`narrows bench risk`: random splits of kept-out photographs, as numbers."""

import json
from pathlib import Path
from typing import Any

from narrows.codec.manifest import EXIT, Manifest
from narrows.edge.policy.exit import ExitHead
from narrows.errors import ConfigError
from narrows.images.labelled import LabelledImages
from narrows.simulations.early_exit.splits import run_splits
from narrows.simulations.early_exit.table import measure
from narrows.simulations.evaluation import evenly


def run_risk_bench(
    bundle: Path, data: Path, alpha: float, splits: int, limit: int | None, as_json: bool
) -> None:
    """Measure every photograph once, split many times, print. Raises NarrowsError."""
    manifest, images = Manifest.load(bundle), LabelledImages(data)
    if EXIT not in manifest.files:
        raise ConfigError(f"{bundle} is not calibrated: `narrows bundle calibrate` does that")
    exit_head = ExitHead.load(bundle / EXIT, manifest.latent.channels, len(manifest.labels))
    table = measure(bundle, exit_head, images, evenly(images.of_part(None), limit))
    found = run_splits(table, alpha, splits)
    print(json.dumps(found) if as_json else _text(found))


def _text(found: dict[str, Any]) -> str:
    lines = [f"lose at most {found['alpha']:.1%}: {found['splits']} splits"]
    for name in ("in_expectation", "with_confidence"):
        row = found[name]
        lines.append(
            f"  {name}: {row['kept']:.1%} of frames kept, {row['lost']:.2%} lost; within "
            f"{found['alpha']:.1%} in {row['lost_within_alpha']} splits "
            f"({row['points_within_alpha']} by the difference of accuracies, {row['points']:.2%})"
        )
    return "\n".join(lines)
