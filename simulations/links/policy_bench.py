"""`narrows bench policy`: the policy, fixed choices, the usual rule and an oracle, on every link.

Virtual time: the relay's arithmetic without sockets, so that a run is the same on every machine.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table as RichTable

from narrows.codec.manifest import EXIT, Manifest
from narrows.edge.policy.baselines import EwmaPolicy, FixedPolicy
from narrows.edge.policy.exit import ExitHead
from narrows.edge.policy.menu import menu_of
from narrows.edge.policy.policy import DeadlinePolicy, Policy
from narrows.errors import ConfigError
from narrows.images.labelled import LabelledImages
from narrows.simulations.links.link import Link, open_link
from narrows.simulations.links.oracle import oracle
from narrows.simulations.links.profile import profile_names
from narrows.simulations.links.race import Terms, race
from narrows.simulations.links.workload import Workload, averages, measured

OURS = "policy"
EWMA = "EWMA rule"
RESCUED = "finest + own"  # the finest point always, with the own answer standing by as for us


@dataclass(frozen=True)
class Asked:
    """The command's options."""

    bundle: Path
    data: Path | None
    links: tuple[str, ...]  # none: every profile that ships
    terms: Terms
    limit: int | None
    seed: int


def run_policy_bench(asked: Asked, as_json: bool, plot: Path | None) -> None:
    """Race everyone on every link, print, plot. Raises NarrowsError."""
    workload = load_workload(asked)
    names = asked.links or tuple(f"{name}:{asked.seed}" for name in profile_names())
    links = [open_link(name) for name in names]
    progress = track(links, "racing", console=Console(stderr=True), transient=True)
    rows = [race_all(link, workload, asked.terms) for link in progress]
    found = {"frames": asked.terms.frames, "fps": asked.terms.fps,
             "deadline_ms": asked.terms.deadline_s * 1e3, "links": rows}  # fmt: skip
    if plot is not None:
        from narrows.simulations.links.policy_plot import draw_policies

        draw_policies(found, plot)
    print(json.dumps(found)) if as_json else _print(found)


def load_workload(asked: Asked) -> Workload:
    """Photographs measured one by one, or the manifest's averages where no data are given."""
    manifest = Manifest.load(asked.bundle)
    if asked.data is None:
        return averages(menu_of(manifest))
    if EXIT not in manifest.files:
        raise ConfigError(f"{asked.bundle} is not calibrated: `narrows bundle calibrate` does that")
    from narrows.simulations.early_exit.table import measure
    from narrows.simulations.evaluation import evenly

    exit_head = ExitHead.load(asked.bundle / EXIT, manifest.latent.channels, len(manifest.labels))
    images = LabelledImages(asked.data)
    entries = evenly(images.of_part(None), asked.limit)
    return measured(measure(asked.bundle, exit_head, images, entries), asked.seed)


def race_all(link: Link, workload: Workload, terms: Terms) -> dict[str, Any]:
    """Everyone on one link: accuracy per frame captured, what was missed, and the oracle's."""
    best = oracle(link, workload, terms)
    results = {
        name: race(policy, link, workload, terms).as_dict()
        for name, policy in _racers(workload, terms).items()
    }
    fixed = [results[str(choice)]["accuracy"] for choice in workload.menu]
    ours = results[OURS]["accuracy"]
    return {
        "link": link.name,
        "oracle": best.worth,
        "unreachable": best.unreachable,
        "of_oracle": ours / best.worth if best.worth else 1.0,
        "above_best_fixed": ours - max(fixed),
        "results": results,
    }


def _racers(workload: Workload, terms: Terms) -> dict[str, Policy]:
    menu, deadline_s = workload.menu, terms.deadline_s
    racers: dict[str, Policy] = {
        OURS: DeadlinePolicy(menu, deadline_s, 1 / terms.fps),
        EWMA: EwmaPolicy(menu, deadline_s),
    }
    racers |= {str(choice): FixedPolicy(choice) for choice in menu}
    return racers | {RESCUED: FixedPolicy(menu[0], falls_back=True)}


def _print(found: dict[str, Any]) -> None:
    title = (
        f"accuracy per frame: {found['frames']} frames, {found['fps']:g} a second, "
        f"{found['deadline_ms']:g} ms"
    )
    table = RichTable(
        "link", "oracle", "policy", "of it", "missed", "own late", "not sent", "EWMA", "missed",
        "best fixed", "it", "missed", RESCUED, title=title,
    )  # fmt: skip
    for row in found["links"]:
        ours, rule = row["results"][OURS], row["results"][EWMA]
        fixed = {n: r for n, r in row["results"].items() if n not in (OURS, EWMA, RESCUED)}
        best = max(fixed, key=lambda name: fixed[name]["accuracy"])
        table.add_row(
            row["link"], *(f"{v:.1%}" for v in (
                row["oracle"], ours["accuracy"], row["of_oracle"], ours["missed"],
                ours["rescued"], ours["local"], rule["accuracy"], rule["missed"],
                fixed[best]["accuracy"])),
            best, f"{fixed[best]['missed']:.1%}", f"{row['results'][RESCUED]['accuracy']:.1%}",
        )  # fmt: skip
    Console().print(table)
