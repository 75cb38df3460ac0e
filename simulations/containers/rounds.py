"""Federated rounds over the nodes that are there: their keys are let in, then `narrows rounds`."""

import os
import subprocess
import sys
from pathlib import Path

from narrows.errors import SessionError
from narrows.federated.launch import SuperLink, tool, write_connection
from narrows.simulations.containers.program import run


def main(
    bundle: Path = Path("/models/classify"),  # rounds begin from it
    out: Path = Path("/state/better"),  # the new bundle
    photographs: Path = Path("/photographs"),  # dealt to the nodes
    superlink: str = "superlink:8000",  # host:port
    identities: Path = Path("/identities/nodes"),  # a folder of each node's
    nodes: int = 2,  # to begin with
    rounds: int = 2,  # rounds
) -> None:
    """Let the nodes in, and run rounds with them."""
    home = Path.home() / "flower"
    home.mkdir(mode=0o700, exist_ok=True)
    places = sorted(identities.glob("node-*"))[:nodes]
    certificate = places[0] / "ca.crt"
    write_connection(home, SuperLink(superlink, certificate))
    for place in places:
        register(home, place / "node.pub")
    command = [sys.executable, "-m", "narrows", "rounds", "start", str(bundle), "--out", str(out)]
    command += ["--data", str(photographs), "--rounds", str(rounds), "--least", str(nodes)]
    command += ["--superlink", superlink, "--root-certificates", str(certificate), "--json"]
    os.execv(sys.executable, command)


def register(home: Path, key: Path) -> None:
    """Let the node with that public key in; one that is in stays. Raises SessionError."""
    command = [tool("flwr"), "supernode", "register", str(key), "rounds"]
    environment = os.environ | {"FLWR_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and "already" not in done.stdout + done.stderr:
        raise SessionError(f"{key} is not let in: {(done.stdout + done.stderr).strip()[-500:]}")


if __name__ == "__main__":
    run(main)
