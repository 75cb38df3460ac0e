"""A run by Flower's own tools, for who does not know them: `flwr run` with its files written.

In simulation a SuperLink of this process' own is started and ended with the run; else the run is
sent to the one named. Flower's settings and log lie in OUT.rounds, beside the journal.
"""

import json
import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from narrows.errors import ConfigError, SessionError

APP = Path(__file__).parent / "app"
CONNECTION = "rounds"
READY_S = 60.0
LOG = "flower.log"


@dataclass(frozen=True)
class SuperLink:
    """Where a run is sent: `address` is host:port; no certificates are for this machine alone."""

    address: str
    root_certificates: Path | None = None


@dataclass(frozen=True)
class Simulated:
    """Clients in this machine's processes, on Ray."""

    clients: int
    processes: int


class FlowerRun:
    """A `flwr run` that has been started; `wait` until it ends."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        """`folder`: with Flower's log, and the journal where the server app runs here."""
        self.folder, self._process = folder, process

    @property
    def running(self) -> bool:
        """Whether Flower still streams its log."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Until it ends. Raises SessionError with the end of Flower's log where it failed."""
        code = self._process.wait()
        text = (self.folder / LOG).read_text(errors="replace")
        if code or "Exit Code:" in text:
            last = "\n".join(text.strip().splitlines()[-12:])
            raise SessionError(f"the run failed; the end of {self.folder / LOG}:\n{last}")


@contextmanager
def flower_run(
    folder: Path, config: Mapping[str, str | int | float], where: SuperLink | Simulated
) -> Iterator[FlowerRun]:
    """Start a run; what was started for it ends with the block.

    config: of the app, as in app/pyproject.toml.

    Raises:
        ConfigError: Flower is not installed. SessionError: no SuperLink came up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    home = folder / "flower"
    home.mkdir(mode=0o700, exist_ok=True)
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    environment = os.environ | {"FLWR_HOME": str(home), "PATH": path}  # its tools start each other
    environment["RAY_ADDRESS"] = "local"  # another cluster on this machine is another's
    with open(folder / LOG, "wb") as log, _reached(where, home, environment, log.fileno()) as link:
        write_connection(home, link)
        told = folder / "run.toml"
        told.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items()))
        command = [tool("flwr"), "run", str(APP), CONNECTION, "--stream"]
        command += ["--run-config", str(told)]
        if isinstance(where, Simulated):
            command += ["--federation-config", _simulation(where)]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield FlowerRun(folder, process)
        finally:
            _end(process)


@contextmanager
def _reached(
    where: SuperLink | Simulated, home: Path, environment: Mapping[str, str], log: int
) -> Iterator[SuperLink]:
    if isinstance(where, SuperLink):
        yield where
        return
    port = _free_port()
    command = [tool("flower-superlink"), "--insecure", "--simulation", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--database", str(home / "state.db")]
    command += ["--disable-runtime-dependency-installation"]
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield SuperLink(f"127.0.0.1:{_listening(process, port)}")
    finally:
        _end(process)


def _listening(process: subprocess.Popen[bytes], port: int) -> int:
    """Wait until it takes connections."""
    for _ in range(round(READY_S / 0.1)):
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            with socket.socket() as line:
                if line.connect_ex(("127.0.0.1", port)) == 0:
                    return port
        else:
            break
    raise SessionError(f"no SuperLink came up on 127.0.0.1:{port}: see {LOG}")


def write_connection(home: Path, link: SuperLink) -> None:
    """Flower's settings in the folder `home` name that SuperLink `rounds`, the default."""
    lines = [f"[superlink]\ndefault = {json.dumps(CONNECTION)}\n\n[superlink.{CONNECTION}]"]
    lines.append(f"address = {json.dumps(link.address)}")
    if link.root_certificates is None:
        lines.append("insecure = true")
    else:
        lines.append(f"root-certificates = {json.dumps(str(link.root_certificates.resolve()))}")
    (home / "config.toml").write_text("\n".join(lines) + "\n")


def _simulation(told: Simulated) -> str:
    return (
        f"num-supernodes={told.clients} client-resources-num-cpus=1 "
        f"init-args-num-cpus={told.processes}"
    )


def tool(name: str) -> str:
    """Path of one of Flower's commands, of this environment. Raises ConfigError."""
    path = Path(sysconfig.get_path("scripts")) / name
    if not path.exists():
        raise ConfigError(
            f"no {name} beside {sys.executable}: pip install 'narrows[federated]', on Python 3.11 "
            "or newer"
        )
    return str(path)


def _free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and insist."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
