"""Let the federation's nodes in: a SuperLink takes those alone whose keys it has been given."""

import os
import subprocess
from pathlib import Path

from narrows.errors import SessionError
from narrows.federated.launch import SuperLink, tool, write_connection
from narrows.simulations.containers.program import run


def main(
    superlink: str = "superlink:8000",  # host:port
    identities: Path = Path("/identities/nodes"),  # a folder of each node's
) -> None:
    """Every node of `identities`; one that is in stays."""
    home = Path.home() / "flower"
    home.mkdir(mode=0o700, exist_ok=True)
    places = sorted(identities.glob("node-*"))
    write_connection(home, SuperLink(superlink, places[0] / "ca.crt"))
    for place in places:
        register(home, place / "node.pub")


def register(home: Path, key: Path) -> None:
    """Let the node with that public key in. Raises SessionError."""
    command = [tool("flwr"), "supernode", "register", str(key), "rounds"]
    environment = os.environ | {"FLWR_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and "already" not in done.stdout + done.stderr:
        raise SessionError(f"{key} is not let in: {(done.stdout + done.stderr).strip()[-500:]}")


if __name__ == "__main__":
    run(main)
