"""Compiled cores, built once for a machine and kept in its user's own cache.

A build is an AOTInductor package for every batch and latent size: nothing is compiled while frames
are served. It is native code, so it is loaded only from folders that nobody else can write to, and
only if it is whole. Each is made by a process of its own, `narrows.models.tail_compile`.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import platform
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from narrows.codec.manifest import Manifest, Precision
from narrows.models.cores import Core, Way

log = logging.getLogger(__name__)
FORMAT = 1  # counts up when a core's inputs or outputs change
BUILD_SECONDS = 900.0


class TailBuilds:
    """The builds of one bundle's tail on this machine. Failures are logged, never raised."""

    def __init__(self, bundle: Path, manifest: Manifest, device: torch.device):
        self._bundle, self._digest, self._device = bundle.resolve(), manifest.digest, device
        self.folder = cache_folder() / _key(manifest.digest, device)

    def load(self, precision: Precision) -> Core | None:
        """A build that is there, private and whole; None for none such."""
        package = self.folder / f"{precision}.pt2"
        if not package.exists():
            return None
        try:
            for path in (self.folder.parent, self.folder, package):
                _require_private(path)
            if _sha256(package) != _seal(package).read_text():
                raise OSError(f"{package}: damaged")
            run = torch._inductor.aoti_load_package(
                str(package), device_index=self._device.index or -1
            )
        except (OSError, RuntimeError) as error:
            log.warning("a compiled tail is not used: %s", _last_line(str(error)))
            return None
        return Core(Way(True, precision), run)

    def make(self, precision: Precision) -> Core | None:
        """The build, made now where there is none that can be used; None where that fails."""
        try:
            with self._locked():
                return self.load(precision) or self._make(precision)
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("the tail runs eagerly, no build was made: %s", error)
            return None

    def _make(self, precision: Precision) -> Core | None:
        log.info("compiling the tail in %s; this is done once on a machine", precision)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            made = Path(scratch) / "tail.pt2"
            command = [sys.executable, "-m", "narrows.models.tail_compile", str(self._bundle)]
            command += [self._digest, precision, self._device.type, str(made)]
            # Inductor's own cache is pickles and native code in a folder anybody can make first.
            own = {"TORCHINDUCTOR_CACHE_DIR": str(Path(scratch) / "inductor")}
            result = subprocess.run(
                command, env=os.environ | own, capture_output=True, text=True, check=False,
                timeout=BUILD_SECONDS, stdin=subprocess.DEVNULL, cwd=scratch,
            )  # fmt: skip
            if result.returncode:
                log.warning("the tail runs eagerly, no build: %s", _last_line(result.stderr))
                return None
            package = self.folder / f"{precision}.pt2"
            made.chmod(0o600)
            made.replace(package)
            _seal(package).write_text(_sha256(package))
        return self.load(precision)

    def open_folder(self) -> Path:
        """The builds' folder, made where it is not there. Raises OSError if it is not private."""
        self.folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self.folder.parent, self.folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            _require_private(folder)
        return self.folder

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process builds; others wait and find it."""
        self.open_folder()
        with (self.folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/narrows/tails, by default under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "narrows" / "tails"


def _key(digest: str, device: torch.device) -> str:
    """Names what a build depends on: the network, torch, and the very processor."""
    machine = _gpu() if device.type == "cuda" else _processor()
    parts = [FORMAT, digest, torch.__version__, platform.machine(), device.type, *machine]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _gpu() -> list[str]:
    return [
        torch.cuda.get_device_name(),
        str(torch.cuda.get_device_capability()),
        str(torch.version.cuda),
    ]


def _processor() -> list[str]:
    """Its instruction sets: a build runs on none that lacks one (a cache may be on a network)."""
    names = ("model name", "flags", "Features", "CPU part")
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.split("\t")[0].split(":")[0].strip() in names:
                found.add(line)
    return [torch.backends.cpu.get_cpu_capability(), platform.processor(), *sorted(found)]


def _require_private(path: Path) -> None:
    """Raises OSError where somebody else owns a path or can write to it."""
    found = path.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or stat.S_ISLNK(found.st_mode):
        raise OSError(f"{path}: expected a file or folder of this user's alone: remove it")


def _seal(package: Path) -> Path:
    return package.with_suffix(".sha256")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason was given"
