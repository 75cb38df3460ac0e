"""Samples of several replicas as one page for Prometheus."""

from collections import defaultdict

from narrows.server.samples import Replicas


def prometheus_page(replicas: Replicas) -> str:
    """Text exposition format 0.0.4; every sample says which replica it is of."""
    families: dict[str, list[str]] = defaultdict(list)
    for replica, samples in replicas.items():
        for name, labels, value in samples:
            told = ",".join(
                f'{k}="{_escaped(v)}"' for k, v in (labels | {"replica": replica}).items()
            )
            families[_family(name)].append(f"{name}{{{told}}} {value!r}")
    lines = []
    for family, found in families.items():
        kind = "gauge"
        if any("_bucket{" in line for line in found):
            kind = "histogram"
        elif found[0].split("{")[0].endswith("_total"):
            kind = "counter"
        lines += [f"# TYPE {family} {kind}", *found]
    return "\n".join(lines) + "\n"


def _family(name: str) -> str:
    for end in ("_bucket", "_count", "_sum"):
        if name.endswith(end):
            return name.removesuffix(end)
    return name


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
