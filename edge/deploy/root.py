"""A root folder with this interpreter, a folder of packages, and the libraries that both load.

    python3 root.py PACKAGES ROOT

Files keep their paths, so that it works with any Python: the public image's and a distribution's.
"""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

USER = 10001
UNUSED = ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "distutils",
          "site-packages", "dist-packages", "__pycache__", "config-3*", "pydoc_data")  # fmt: skip
NAMES = "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt", "/etc/mime.types"


def main(packages: Path, root: Path) -> None:
    """Fill ROOT, which must not be there yet."""
    python = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    copy_tree(library, root)
    copy_tree(packages, root)
    binaries = [python, *library.rglob("*.so"), *packages.rglob("*.so*")]
    for file in {python, *loaded(binaries), *(Path(n) for n in NAMES if Path(n).exists())}:
        copy_file(file, root)
    for file in (*root.rglob("*.so"), *root.rglob("*.so.*")):
        subprocess.run(["strip", "--strip-unneeded", file], check=False, capture_output=True)
    (root / "usr/bin").mkdir(parents=True, exist_ok=True)
    for name in ("python3", "python"):
        link = root / "usr/bin" / name
        if not link.exists():
            link.symlink_to(python)
    make_user(root)
    compiled = [str(root / str(folder)[1:]) for folder in (library, packages)]
    subprocess.run([python, "-m", "compileall", "-q", "-s", root, *compiled], check=False)


def copy_tree(folder: Path, root: Path) -> None:
    ignore = shutil.ignore_patterns(*UNUSED)
    shutil.copytree(folder, root / str(folder)[1:], ignore=ignore, symlinks=False)


def copy_file(file: Path, root: Path) -> None:
    """The file at its path, and what it is a link to as a file of that name."""
    target = root / str(file)[1:]
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(file, target)


def loaded(binaries: Iterable[Path]) -> Iterator[Path]:
    """Shared libraries outside the packages that the loader would look for, and the loader."""
    for binary in binaries:
        told = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False)
        for word in told.stdout.split():
            if word.startswith("/") and word.rstrip(":") == word:
                yield Path(word)


def make_user(root: Path) -> None:
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(f"narrows:x:{USER}:{USER}::/home/narrows:/sbin/nologin\n")
    (root / "etc/group").write_text(f"narrows:x:{USER}:\n")
    for folder, mode in (("tmp", 0o1777), ("home/narrows", 0o700), ("identities", 0o700)):
        path = root / folder
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        if folder != "tmp":
            shutil.chown(path, USER, USER)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
