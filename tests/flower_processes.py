"""Flower's own processes with TLS and node authentication: a SuperLink, and SuperNodes."""

import os
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from vertical_processes import until

from narrows.security.authority import Authority

SCRIPTS = sysconfig.get_path("scripts")


def free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return line.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def environment(home: Path) -> dict[str, str]:
    home.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([SCRIPTS, os.environ["PATH"]])
    return os.environ | {"FLWR_HOME": str(home), "PATH": path, "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Federation:
    """A SuperLink and the folder of everything around it."""

    address: str
    certificate: Path
    folder: Path
    authority: Authority

    def flwr(self, *arguments: str) -> str:
        """`flwr ARGUMENTS` as the SuperLink's user."""
        home = self.folder / "user"
        told = f'address = "{self.address}"\nroot-certificates = "{self.certificate}"\n'
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n[superlink.here]\n{told}'
        )
        command = [f"{SCRIPTS}/flwr", *arguments, "here"]
        done = subprocess.run(
            command, env=environment(home), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def node(self, number: int, config: str) -> Iterator[subprocess.Popen]:
        """A SuperNode that is registered by its key; killed at the end, if it still runs."""
        folder = self.folder / f"node-{number}"
        self.authority.serve(f"node-{number}", ["127.0.0.1"], folder)
        private = folder / "node.key"
        key = ec.generate_private_key(ec.SECP384R1())
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            )
        )
        public = folder / "node.pub"
        public.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
            )
        )
        self.flwr("supernode", "register", str(public))
        command = [f"{SCRIPTS}/flower-supernode", "--superlink", self.address]
        command += ["--root-certificates", str(self.certificate)]
        command += ["--auth-supernode-private-key", str(private), "--port", str(free_port())]
        command += ["--node-config", config, *tls(folder)]
        with running(command, folder) as process:
            yield process


@contextmanager
def federation(folder: Path) -> Iterator[Federation]:
    """A SuperLink with TLS that lets registered nodes in alone."""
    authority = Authority.create(folder / "ca")
    place = folder / "link"
    authority.serve("link", ["127.0.0.1"], place)
    port = free_port()
    command = [f"{SCRIPTS}/flower-superlink", "--port", str(port), "--enable-supernode-auth"]
    command += ["--disable-runtime-dependency-installation", *tls(place)]
    with running(command, place):
        until(lambda: listens(port), "the SuperLink")
        yield Federation(f"127.0.0.1:{port}", place / "ca.crt", folder, authority)


@contextmanager
def nodes(started: Federation, configs: list[str]) -> Iterator[list[subprocess.Popen]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(started.node(number, config))
            for number, config in enumerate(configs)
        ]


def tls(folder: Path) -> list[str]:
    names = {"certfile": "server.crt", "keyfile": "server.key", "ca-certfile": "ca.crt"}
    return [part for flag, name in names.items() for part in (f"--ssl-{flag}", f"{folder / name}")]


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen]:
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            command, env=environment(folder / "home"), stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
