"""The rooms' arrows: docs/architecture.md as a test."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "narrows"
# room -> rooms it may import, besides itself and errors
MAY_IMPORT = {
    "errors": set(),
    "kernels": set(),
    "protos": set(),
    "images": set(),
    "security": set(),
    "telemetry": set(),
    "codec": {"kernels"},
    "sharing": {"kernels"},
    "models": {"codec", "kernels", "images"},
    "edge": {"codec", "kernels", "protos", "sharing", "images", "security", "telemetry"},
    "server": {
        "models",
        "codec",
        "kernels",
        "protos",
        "sharing",
        "images",
        "security",
        "telemetry",
    },
    "training": {"models", "codec", "kernels", "images"},
    "federated": {"training", "models", "codec", "kernels", "images", "sharing", "security"},
}
ABOVE = set(MAY_IMPORT)
MAY_IMPORT["simulations"] = ABOVE
MAY_IMPORT["cli"] = ABOVE | {"simulations"}
# Optional integrations: they name a heavy package at their top, and no other file names them.
INTEGRATIONS = {"narrows.codec.compressai": PACKAGE / "codec" / "compressai.py"}
FILES = sorted(p for p in PACKAGE.rglob("*.py")) + sorted(
    p for room in PACKAGE.iterdir() if room.is_symlink() for p in (ROOT / room.name).rglob("*.py")
)


def imports(path: Path) -> set[str]:
    """Modules a file names, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(path: Path) -> str:
    base = PACKAGE if path.is_relative_to(PACKAGE) else ROOT
    return path.relative_to(base).parts[0].removesuffix(".py")


def test_the_rooms_are_all_looked_at():
    assert {room_of(p) for p in FILES} >= {"edge", "server", "codec", "kernels", "models", "cli"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_arrow_runs_upward(path):
    room = room_of(path)
    if room in {"__init__", "__main__"}:
        return
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("narrows.")}
    upward = ours - MAY_IMPORT[room] - {room, "errors"}
    assert not upward, f"{room} may not import {upward}"


@pytest.mark.parametrize("room", ["edge", "codec", "kernels", "sharing", "images", "protos"])
def test_the_device_names_no_heavy_package(room):
    heavy = {"torch", "torchvision", "ray", "compressai", "flwr"}
    for path in FILES:
        if room_of(path) == room and path not in INTEGRATIONS.values():
            assert not {name.split(".")[0] for name in imports(path)} & heavy, path


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_nothing_below_the_benchmarks_needs_an_integration(integration):
    for path in FILES:
        if room_of(path) not in {"simulations", "cli"}:
            assert not any(name.startswith(integration) for name in imports(path)), path


def test_shares_and_masks_know_no_randomness_but_the_systems():
    for path in FILES:
        if room_of(path) == "sharing":
            assert "random" not in {name.split(".")[0] for name in imports(path)}, path
            assert "np.random" not in path.read_text(), path


def test_importing_the_device_loads_neither_torch_nor_ray():
    code = (
        "import sys, narrows.edge, narrows.edge.device, narrows.edge.encoder, narrows.cli.edge\n"
        "assert not {'torch', 'ray', 'torchvision'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_architecture_page_lists_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text()
    for room in {room_of(p) for p in FILES} - {"errors", "__init__", "__main__"}:
        assert f"`{room}/`" in page
