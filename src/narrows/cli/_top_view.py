"""Figures of a console's events as tables."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from time import monotonic
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from narrows.errors import ConfigError, LinkError

TIMEOUT_S = 5.0
DEVICES = 12  # the busiest


def watch(address: str, once: bool, as_json: bool) -> None:
    """Show what the console tells until interrupted.

    Raises:
        ConfigError: `address` is no http address.
        LinkError: no console is there.
    """
    if not address.startswith(("http://", "https://")):
        raise ConfigError(
            f"console {address!r}: expected an address such as http://127.0.0.1:8500/"
        )
    try:
        events = _events(address.rstrip("/") + "/events")
        first = next(events)
        if as_json or once:
            print(json.dumps(first)) if as_json else Console().print(_view(first, None))
            return
        before = (monotonic(), first)
        with Live(_view(first, None), screen=True) as live:
            for figures in events:
                now = monotonic()
                rate = (_answered(figures) - _answered(before[1])) / max(1e-3, now - before[0])
                live.update(_view(figures, max(0.0, rate)))
                before = (now, figures)
    except (OSError, urllib.error.URLError, StopIteration) as error:
        raise LinkError(
            f"{address}: no console: {error}: is `narrows serve --console PORT` running there?"
        ) from None
    except KeyboardInterrupt:
        return


def _events(address: str) -> Iterator[dict[str, Any]]:
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response:
        for line in response:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


def _answered(figures: dict[str, Any]) -> float:
    return float(figures["statuses"].get("OK", 0.0))


def _view(figures: dict[str, Any], rate: float | None) -> Group:
    told = "" if rate is None else f"{rate:,.1f} answers a second; "
    counts = ", ".join(f"{int(n):,} {status}" for status, n in figures["statuses"].items())
    stages = Table("stage", "p50 ms", "p90 ms", "p99 ms", title=told + (counts or "no frame yet"))
    for name, q in figures["stages"].items():
        stages.add_row(name, *(f"{q[key]:.2f}" for key in ("p50", "p90", "p99")))
    points = Table("bundle", "point", "frames", "bytes")
    for p in figures["points"]:
        points.add_row(p["bundle"], p["point"], f"{p['frames']:,.0f}", f"{p['mean_bytes']:,.0f}")
    replicas = Table("replica", "streams", "waiting", "frames", "MB")
    for r in figures["replicas"]:
        cells = (r["streams"], r["waiting_frames"], r["frames"], r["resident_bytes"] / 1e6)
        replicas.add_row(r["name"], *(f"{cell:,.0f}" for cell in cells))
    busiest = sorted(figures["devices"], key=lambda d: -d["frames"])[:DEVICES]
    devices = Table(
        "device",
        "last frame",
        "frames",
        "answered",
        "kB",
        title=f"{len(figures['devices'])} devices",
    )
    for d in busiest:
        devices.add_row(
            d["name"],
            f"{d['seen_s']:,.0f} s ago",
            f"{d['frames']:,.0f}",
            f"{d['answered']:,.0f}",
            f"{d['bytes'] / 1e3:,.1f}",
        )
    return Group(stages, points, replicas, devices)
