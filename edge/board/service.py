"""A device as a systemd service: started with the board, kept alive, held to little.

The unit restarts the device whatever ends it, bounds its memory, and lets it write nowhere but its
own state and cache (systemd.exec(5), "Sandboxing"). Logs go to the journal.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from narrows.errors import ConfigError

UNITS = Path("/etc/systemd/system")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
HEARTBEAT = "/run/{name}/answered"


@dataclass(frozen=True)
class Service:
    """What is to be run, by whom, and with how much."""

    name: str
    user: str
    arguments: tuple[str, ...]  # of `narrows edge`
    memory_mb: int = 256
    reads: tuple[Path, ...] = ()  # folders below /home or /root that it needs

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ConfigError(f"service {self.name!r}: expected letters, digits, . _ and -")
        if not NAME.fullmatch(self.user):
            raise ConfigError(f"user {self.user!r}: expected a user's name")

    def text(self) -> str:
        """The unit's file."""
        command = [sys.executable, "-m", "narrows", "edge", *self.arguments, "--json"]
        command += ["--heartbeat", HEARTBEAT.format(name=self.name)]
        bound = "".join(f"BindReadOnlyPaths={quoted(str(path))}\n" for path in self.reads)
        return TEMPLATE.format(
            name=self.name, user=self.user, memory=self.memory_mb, bound=bound,
            command=" ".join(map(quoted, command)),
        )  # fmt: skip


TEMPLATE = """\
# Written by `narrows device install`, which writes it anew.
[Unit]
Description=Narrows: a device that sends features to a server
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart={command}
User={user}
SupplementaryGroups=video
Restart=always
RestartSec=2
KillSignal=SIGTERM
TimeoutStopSec=30
Environment=PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/var/cache/{name}
RuntimeDirectory={name}
StateDirectory={name}
CacheDirectory={name}
WorkingDirectory=/var/lib/{name}
MemoryMax={memory}M
MemorySwapMax=0
TasksMax=64
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=tmpfs
{bound}PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
LockPersonality=yes
SystemCallArchitectures=native
CapabilityBoundingSet=
UMask=0077

[Install]
WantedBy=multi-user.target
"""


def quoted(word: str) -> str:
    """A word of a command as systemd reads it: no specifier and no variable is expanded.

    Raises:
        ConfigError: a character that no unit's line can hold.
    """
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in word):
        raise ConfigError(f"{word!r}: a control character cannot be in a service's command")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'


def install(service: Service, units: Path = UNITS) -> Path:
    """Write the unit, whole or not at all; its path. Raises ConfigError: it cannot be written."""
    path = units / f"{service.name}.service"
    scratch = path.with_name(path.name + ".new")
    try:
        scratch.write_text(service.text())
        scratch.chmod(0o644)
        os.replace(scratch, path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: services are root's: use sudo") from None
    return path


def systemctl(*command: str) -> str:
    """What it says. Raises ConfigError."""
    try:
        done = subprocess.run(["systemctl", *command], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ConfigError("no systemctl here: this system is not run by systemd") from None
    if done.returncode:
        raise ConfigError(f"systemctl {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def start(service: Service) -> None:
    """Read the units anew, and start it now and with the board. Raises ConfigError."""
    unit = f"{service.name}.service"
    for command in (("daemon-reload",), ("enable", unit), ("restart", unit)):
        systemctl(*command)


def restart_service(name: str) -> None:
    """Anew, with whatever its files say now. Raises ConfigError."""
    systemctl("restart", f"{name}.service")


def status(name: str) -> dict[str, str]:
    """What systemd knows of it. Raises ConfigError."""
    asked = ("ActiveState", "SubState", "NRestarts", "MemoryCurrent", "ActiveEnterTimestamp")
    told = systemctl("show", f"{name}.service", "--property", ",".join(asked))
    return dict(line.partition("=")[::2] for line in told.splitlines())
