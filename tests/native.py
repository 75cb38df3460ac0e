"""The native library built by CMake, for tests that need no Python of it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ARM = "aarch64-linux-gnu-"
EMULATOR = "qemu-aarch64-static"
BOARDS = {"cortex-a72": "neon", "cortex-a76": "dotprod", "max": "i8mm"}  # and what they are to show


def needs(*tools: str) -> pytest.MarkDecorator:
    """Skip where a tool is not installed."""
    absent = [tool for tool in tools if not shutil.which(tool)]
    return pytest.mark.skipif(bool(absent), reason=f"not here: {', '.join(absent)}")


def configured(folder: Path, target: str, *options: str) -> Path:
    """`folder`, with `target` built in it."""
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-DNARROWS_PYTHON=OFF", *options]
    build = ["cmake", "--build", str(folder), "--target", target, "--parallel", "2"]
    for command in (configure, build):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder
