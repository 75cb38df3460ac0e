"""A node of the federation: the next key that is free, and Flower's SuperNode."""

import os
from pathlib import Path

from narrows.federated.launch import tool
from narrows.simulations.containers.numbered import claim
from narrows.simulations.containers.program import run


def main(
    superlink: str = "superlink:8000",  # host:port
    nodes: int = 2,  # how many photographs are dealt to
    identities: Path = Path("/identities/nodes"),  # a folder of each node's
) -> None:
    """Take part with that node's part of the photographs."""
    place = claim(identities, "node-*")
    number = int(place.name.rpartition("-")[2])
    command = ["flower-supernode", "--superlink", superlink]
    command += ["--root-certificates", str(place / "ca.crt")]
    command += ["--auth-supernode-private-key", str(place / "node.key")]
    command += ["--ssl-certfile", str(place / "server.crt")]
    command += ["--ssl-keyfile", str(place / "server.key")]
    command += ["--ssl-ca-certfile", str(place / "ca.crt")]
    command += ["--node-config", f"partition-id={number % nodes} num-partitions={nodes}"]
    os.execv(tool("flower-supernode"), command)


if __name__ == "__main__":
    run(main)
