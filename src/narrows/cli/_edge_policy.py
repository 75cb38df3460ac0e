"""What `narrows edge --policy` puts together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from narrows.codec.manifest import EXIT, Manifest
from narrows.edge.board.watch import HeatWatch
from narrows.edge.encoder import ImageEncoder, load_feature_encoder
from narrows.edge.policy.energy import EnergyBudget
from narrows.edge.policy.estimator import LinkEstimator
from narrows.edge.policy.exit import ExitHead
from narrows.edge.policy.menu import menu_of
from narrows.edge.policy.policy import RESERVE, DeadlinePolicy
from narrows.edge.policy.risk import NEVER, in_expectation, with_confidence
from narrows.edge.record import FrameRecord, Tally
from narrows.edge.run import DeviceSettings
from narrows.edge.source import SourceFrame, is_video
from narrows.edge.steer import Steer
from narrows.edge.steered import run_steered
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.cli._edge_run import EdgeOptions
    from narrows.edge.spool import Spool


def run_policy(
    options: EdgeOptions,
    folder: Path,
    fetched: bool,
    settings: DeviceSettings,
    source: Iterator[SourceFrame],
    on_record: Callable[[FrameRecord], None],
    tally: Tally,
    spool: Spool | None,
    on_stop: Callable[[], None],
    heat: HeatWatch | None,
) -> dict[str, Any]:
    """Run a steered device; a server that is away ends it only where there is no own answer."""
    from narrows.cli._edge_run import AWAY_S, FIRST_WAIT_S, fetched_version

    energy = None if options.joules is None else EnergyBudget(options.joules)
    link = LinkEstimator(options.deadline_ms / 3000)
    link.on_down(monotonic())  # until there is a connection
    steer = _steer(options, folder, Manifest.load(folder), link, energy)
    sent = replace(settings.link, deadline_ms=max(1, round(options.deadline_ms * (1 - RESERVE))))
    if EXIT in Manifest.load(folder).files:
        sent = replace(sent, give_up_s=AWAY_S, first_wait_s=FIRST_WAIT_S)
    settings = replace(settings, link=sent)

    def renew(digest: str) -> Steer:
        return _steer(options, *fetched_version(options, digest), link, energy)

    renewing = renew if fetched else None
    return run_steered(source, steer, settings, on_record, tally, renewing, spool, on_stop, heat)


def _steer(
    options: EdgeOptions,
    folder: Path,
    manifest: Manifest,
    link: LinkEstimator,
    energy: EnergyBudget | None,
) -> Steer:
    if options.upload is not None or options.local is not None:
        raise ConfigError("--policy chooses by itself: leave out --upload and --local")
    video = is_video(options.source) if options.video is None else options.video
    encoder = load_feature_encoder(
        folder, manifest, options.head, options.head_threads, video, options.drop_empty
    )
    exit_head = None
    if EXIT in manifest.files:
        channels, labels = manifest.latent.channels, len(manifest.labels)
        exit_head = ExitHead.load(folder / EXIT, channels, labels)
    menu = menu_of(manifest)
    policy = DeadlinePolicy(
        menu,
        options.deadline_ms / 1e3,
        1 / options.fps if options.fps else 0.0,
        _threshold(options, exit_head, folder),
        energy,
        link,
    )
    pictures = {
        c.level: ImageEncoder(manifest.input, "jpeg", c.level) for c in menu if c.kind == "image"
    }
    return Steer(encoder, pictures, exit_head, policy, manifest.labels)


def _threshold(options: EdgeOptions, exit_head: ExitHead | None, folder: Path) -> float:
    if options.lose is None:
        return NEVER
    if exit_head is None:
        raise ConfigError(f"{folder} is not calibrated: `narrows bundle calibrate` does that")
    if options.confidence is not None:
        return with_confidence(exit_head.calibration, options.lose, 1 - options.confidence)
    return in_expectation(exit_head.calibration, options.lose)
