"""A root folder of Debian for another processor, made of Debian's own packages and run by qemu.

debootstrap -> packages -> chroot under binfmt_misc, in a mount namespace of its own
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = "python3,python3-venv,ca-certificates"  # "Python only", and whom it may trust
EMULATOR = Path("/usr/bin/qemu-aarch64-static")
# An ELF header of a 64-bit little-endian Arm program (qemu's scripts/qemu-binfmt-conf.sh).
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
BINFMT = "/proc/sys/fs/binfmt_misc"
# The kernel's list lives as long as it is mounted somewhere: here, until standard input ends.
HOLD = f"""
[ -e {BINFMT}/register ] || mount -t binfmt_misc none {BINFMT} || exit
printf %s "$1" > {BINFMT}/register || exit
echo told
cat
printf %s -1 > {BINFMT}/"$2"
"""
ENTER = """
root=$1; shift
mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc" && exec chroot "$root" "$@"
"""
# Without pointer authentication, whose arithmetic costs qemu's `max` fifteen times Python's own.
BOARD = "cortex-a72"


@dataclass(frozen=True)
class DebianRoot:
    """`folder` holds the system."""

    folder: Path

    def run(
        self, *command: str, cpu: str = BOARD, cwd: str = "/", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """The command in it, as root, with the network of this machine."""
        told = {"HOME": "/root", "PATH": "/usr/sbin:/usr/bin", "QEMU_CPU": cpu, "LC_ALL": "C.UTF-8"}
        enter = ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(self.folder)]
        inside = [
            "env",
            "--ignore-environment",
            "--chdir",
            cwd,
            *(f"{k}={v}" for k, v in (told | environment).items()),
        ]
        return subprocess.run([*enter, *inside, *command], capture_output=True, text=True)


@contextmanager
def emulated_arm() -> Iterator[None]:
    """The kernel gives programs for Arm to qemu, in chroots too. Skips where it may not be told."""
    name = f"narrows-{os.getpid()}"
    line = f":{name}:M::{MAGIC}:{MASK}:{EMULATOR}:F"
    hold = ["unshare", "--mount", "sh", "-c", HOLD, "sh", line, name]
    pipe = subprocess.PIPE
    with subprocess.Popen(hold, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as holding:
        if holding.stdout.readline() != "told\n":
            pytest.skip(f"binfmt_misc cannot be told of qemu: {holding.stderr.read().strip()}")
        yield


def debian(folder: Path, suite: str) -> DebianRoot:
    """A system of that suite in `folder`, its packages configured. Wants `emulated_arm`."""
    bootstrap = ["debootstrap", "--foreign", "--arch=arm64", "--variant=minbase"]
    checked(*bootstrap, f"--include={PACKAGES}", suite, str(folder))
    root = DebianRoot(folder)
    done = root.run("/debootstrap/debootstrap", "--second-stage", DEBIAN_FRONTEND="noninteractive")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    shutil.rmtree(folder / "var/cache/apt/archives")
    return root


def checked(*command: str) -> str:
    """What it printed; a failure shows the end of it."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout
