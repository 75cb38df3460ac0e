"""Tables of `narrows bench offload`: every way, and split beside JPEG at equal accuracy."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from narrows.simulations.offload.equal import TARGET

ALONE = "alone"  # the whole network on the device


def print_tables(found: Mapping[str, Any]) -> None:
    """Two tables for each set-up, and whether the target is met."""
    console = Console()
    for row in found["rows"]:
        console.print(_ways(row))
        console.print(_equal(row))
    console.print(
        f"accuracy on {found['photographs']} photographs of {found['data']}; service times of "
        f"{found['measured']['machine'].get('cpu')}, {found['measured']['date']}; links and "
        "devices simulated, joules by the scenarios' watts: a model"
    )
    for line in verdicts(found):
        console.print(line)


def verdicts(found: Mapping[str, Any]) -> Iterator[str]:
    """For LoRa-like links, at which points split is ten times faster at equal accuracy."""
    for row in found["rows"]:
        if row["link"] != "lora":
            continue
        ratios = {r["point"]: r["ratio"] for r in row["equal_accuracy"] if r["ratio"]}
        met = [point for point, ratio in ratios.items() if ratio >= TARGET]
        told = f"{setup_name(row)}: {len(met)} of {len(ratios)} points are {TARGET:g} times faster"
        if ratios:
            told += f" than JPEG at equal accuracy ({_span(ratios.values())})"
        beyond = [r["point"] for r in row["equal_accuracy"] if r["jpeg"] is None]
        if beyond:
            told += f"; no JPEG is as accurate as {', '.join(f'point {p}' for p in beyond)}"
        yield told


def setup_name(row: Mapping[str, Any]) -> str:
    """Such as `lora, 30 clients on one line`."""
    clients = row["clients"]
    if clients == 1:
        return f"{row['link']}, 1 client"
    return f"{row['link']}, {clients} clients" + (" on one line" if row["shared"] else "")


def _span(ratios: Any) -> str:
    ascending = sorted(ratios)
    return f"{ascending[0]:.1f} to {ascending[-1]:.1f}"


def _ways(row: Mapping[str, Any]) -> Table:
    title = f"{setup_name(row)}: {row['fps']:g} frames/s each, deadline {row['deadline_ms']:,} ms"
    table = Table(
        "way", "p50, ms", "p95, ms", "missed", "accuracy", "in time", "bytes", "mJ",
        title=title,
    )  # fmt: skip
    for way, part in row["ways"].items():
        table.add_row(
            way_name(way), _ms(part["p50_ms"]), _ms(part["p95_ms"]),
            f"{part['missed_deadline'] / max(1, part['frames']):.1%}", _share(part["accuracy"]),
            _share(part["in_time_accuracy"]), f"{part['bytes_per_frame']:,.0f}",
            _millijoules(part["joules_per_frame"]),
        )  # fmt: skip
    return table


def way_name(way: str) -> str:
    """As people say it."""
    kind, _, argument = way.partition(":")
    return {"fixed": f"point {argument}", "jpeg": f"JPEG {argument}"}.get(
        kind, ALONE if way == "local" else way
    )


def _equal(row: Mapping[str, Any]) -> Table:
    table = Table(
        "point", "right", "bytes", "JPEG", "right", "bytes", "ms", "JPEG's", "ratio", "at p95",
        title="split and JPEG at equal accuracy: medians",
    )  # fmt: skip
    for each in row["equal_accuracy"]:
        mine = str(each["point"]), f"{each['accuracy']:.1%}", f"{each['bytes']:,.0f}"
        if each["jpeg"] is None:
            table.add_row(*mine, "none", "", "", "", "", "", "")
            continue
        table.add_row(
            *mine, str(each["jpeg"]), f"{each['jpeg_accuracy']:.1%}", f"{each['jpeg_bytes']:,.0f}",
            _ms(each["p50_ms"]), _ms(each["jpeg_p50_ms"]),
            _times(each["ratio"], each["at_least"]),
            _times(each["ratio_p95"], each["at_least_p95"]),
        )  # fmt: skip
    return table


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _millijoules(joules: float | None) -> str:
    return "-" if joules is None else f"{joules * 1e3:.1f}"


def _times(ratio: float | None, at_least: bool) -> str:
    return "-" if ratio is None else f"{'> ' if at_least else ''}{ratio:.1f}"
