"""`narrows bundle calibrate`: the device's own answer, and how sure it must be to stand alone.

Fitted on the training part, measured and calibrated on photographs kept out. What they were is kept
in the bundle as pairs of confidence and loss, so that a device sets its own limit of what may be
lost (`narrows edge --policy --lose 0.02`).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from narrows.codec.manifest import Manifest
from narrows.edge.head import load_head
from narrows.edge.policy.exit import ExitHead
from narrows.edge.policy.risk import Calibration, in_expectation, with_confidence
from narrows.errors import ConfigError
from narrows.images.labelled import Entry, LabelledImages
from narrows.models.bundle import add_exit
from narrows.simulations.early_exit.fit import fit_exit
from narrows.simulations.early_exit.table import Table, measure
from narrows.simulations.evaluation import Subject, evenly

ALPHAS = (0.01, 0.02, 0.05)
DELTA = 0.05


def run_calibration(bundle: Path, data: Path, limit: int | None, as_json: bool) -> None:
    """Fit on `train`, calibrate on `val`, write the exit, print. Raises NarrowsError."""
    manifest, images = Manifest.load(bundle), LabelledImages(data)
    if not manifest.labels or not {"train", "val"} <= images.parts():
        raise ConfigError(f"{data}: a bundle with labels and a set of parts train and val: needed")
    fitted = fit_exit(manifest, load_head(bundle, manifest), images, _known(bundle, images, limit))
    table = measure(bundle, fitted, images, evenly(images.of_part("val"), limit))
    calibrated = ExitHead(fitted.weight, fitted.bias, fitted.energy_limit, calibration_of(table))
    figures = figures_of(table, calibrated) | {"measured_on": f"{data.name}, part val"}
    add_exit(bundle, calibrated.to_arrays(), figures)
    print(json.dumps(figures)) if as_json else print(_text(bundle, figures))


def calibration_of(table: Table) -> Calibration:
    """Confidence where familiar, below 0 where not; lost: wrong where the full network is right."""
    sure = np.array([a.confidence if a.familiar else -1.0 for a in table.own], np.float32)
    return Calibration(sure, ~table.own_right & table.full_right)


def figures_of(table: Table, exit_head: ExitHead) -> dict[str, Any]:
    """What the manifest says of the exit: accuracies, pictures, thresholds and shares kept."""
    return {
        "accuracy": float(table.own_right.mean()),
        "full_accuracy": float(table.full_right.mean()),
        "unfamiliar": float(np.mean([not answer.familiar for answer in table.own])),
        "photographs": len(table.own),
        "pictures": [
            {
                "quality": quality,
                "bytes": float(table.image_bytes[:, i].mean()),
                "accuracy": float(table.image_right[:, i].mean()),
                "extra_s": round(float(np.median(table.image_s[:, i])), 5),
            }
            for i, quality in enumerate(table.qualities)
        ],
        "risk": [_risk(exit_head.calibration, alpha) for alpha in ALPHAS],
    }


def _risk(calibration: Calibration, alpha: float) -> dict[str, float]:
    expected = in_expectation(calibration, alpha)
    confident = with_confidence(calibration, alpha, DELTA)
    return {
        "alpha": alpha,
        "kept_in_expectation": calibration.kept_and_lost(expected)[0],
        "kept_with_confidence": calibration.kept_and_lost(confident)[0],
    }


def _known(bundle: Path, images: LabelledImages, limit: int | None) -> list[tuple[Entry, int]]:
    entries = evenly(images.of_part("train"), limit)
    return [pair for pair in Subject(bundle).targets(images, entries) if pair[1] >= 0]


def _text(bundle: Path, figures: dict[str, Any]) -> str:
    lines = [
        f"{bundle}: the device's own answer is right {figures['accuracy']:.1%} of the time "
        f"(full network {figures['full_accuracy']:.1%}) on {figures['photographs']} photographs",
        *(
            f"  lose at most {row['alpha']:.0%}: {row['kept_in_expectation']:.1%} of frames stay "
            f"({row['kept_with_confidence']:.1%} for 95 % of calibrations)"
            for row in figures["risk"]
        ),
        "sign it again",
    ]
    return "\n".join(lines)
