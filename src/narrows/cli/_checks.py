"""The checks behind `narrows doctor`: the device's needs are errors, the server's are hints."""

import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import socket
from collections.abc import Callable
from dataclasses import asdict

from narrows.edge.board.check import Check

DEVICE = {"numpy": "", "grpcio": "", "protobuf": "", "pillow": ""}
OPTIONAL = {
    "onnxruntime": "pip install onnxruntime for whole networks here, and heads without our kernels",
    "torch": "pip install 'narrows[server]' to run tails here",
    "ray": "pip install 'narrows[server]' to schedule replicas",
    "compressai": "pip install 'narrows[train]' (Python <= 3.12) to train bottlenecks",
    "opencv-python-headless": "pip install 'narrows[edge]' to read video files",
}


def run_checks(as_json: bool) -> int:
    """Print every check; returns how many required ones failed."""
    checks = [_python(), _kernels(), _loopback(), _compiler()]
    checks += [_package(name, advice, required=True) for name, advice in DEVICE.items()]
    checks += [_package(name, advice, required=False) for name, advice in OPTIONAL.items()]
    return show_checks(checks, as_json)


def show_checks(checks: list[Check], as_json: bool) -> int:
    """Print them; returns how many required ones failed."""
    _show = _print_json if as_json else _print_lines
    _show(checks)
    return sum(check.required and not check.ok for check in checks)


def _python() -> Check:
    return Check("python", f"{platform.python_version()} on {platform.machine()}", True, True)


def _kernels() -> Check:
    from narrows.kernels import coder

    native = coder.BACKEND == "native"
    advice = (
        "" if native else "works, a hundred times slower: install a C++20 compiler and reinstall"
    )
    return Check("kernels", coder.instruction_set(), native, False, advice)


def _loopback() -> Check:
    try:
        with socket.create_server(("127.0.0.1", 0)):
            return Check("loopback", "ports can be opened", True, True)
    except OSError as error:
        return Check("loopback", str(error), False, True, "allow listening on 127.0.0.1")


def _compiler() -> Check:
    name = os.environ.get("CXX", "g++")
    found = shutil.which(shlex.split(name)[0])
    advice = "" if found else "works, uncompiled: install g++ for `narrows serve --tail compiled`"
    return Check("compiler", found or f"no {name}", found is not None, False, advice)


def _package(name: str, advice: str, required: bool) -> Check:
    try:
        return Check(name, importlib.metadata.version(name), True, required)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "absent", False, required, advice or f"pip install {name}")


def _print_json(checks: list[Check]) -> None:
    print(json.dumps({"checks": [asdict(check) for check in checks]}))


def _print_lines(checks: list[Check]) -> None:
    mark: Callable[[Check], str] = lambda c: "ok" if c.ok else ("FAILED" if c.required else "-")  # noqa: E731
    for check in checks:
        print(f"{mark(check):7} {check.name:24} {check.found:28} {check.advice}".rstrip())
