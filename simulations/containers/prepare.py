"""What the other containers need before they start: certificates, a token, photographs, tables.

`python -m narrows.simulations.containers.prepare`, with the volumes mounted; a second run renews
certificates and leaves everything else. Each volume goes to those who may read it and to nobody
else: the authority's key stays in /authority.
"""

import csv
import os
import secrets
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from narrows.security.authority import Authority
from narrows.security.keys import write_key
from narrows.simulations.containers.program import run
from narrows.simulations.demo.photographs import write_crops
from narrows.simulations.vertical.datasets import EMBEDDED, load_vertical
from narrows.simulations.vertical.parties import names_of

HOSTS = ["server", "coordinator", "superlink", "localhost", "127.0.0.1"]  # through a link: this one
DAYS = 7.0


def main(
    authority: Path = Path("/authority"),  # the fleet's own; its key stays here
    server: Path = Path("/identities/server"),  # for servers
    devices: Path = Path("/identities/devices"),  # for devices, one each
    nodes: Path = Path("/identities/nodes"),  # for nodes of the federation
    cluster: Path = Path("/identities/cluster"),  # for the Ray cluster
    photographs: Path = Path("/photographs"),  # filled where it is empty
    tables: Path = Path("/tables"),  # of the vertical session
    count: int = 64,  # devices that may come
    members: int = 2,  # nodes of the federation
    parties: int = 4,  # of the vertical session
) -> None:
    """Certificates for servers, devices and nodes, and something for them to work on."""
    fleet = Authority(authority) if (authority / "ca.key").exists() else Authority.create(authority)
    fleet.serve("server", HOSTS, server)
    for number in range(count):
        name = f"device-{number:02d}"
        fleet.enroll(name, devices / name, DAYS)
    write_token(cluster / "token")
    if not any(photographs.iterdir()):
        write_crops(photographs / "unlabelled")
    for number in range(members):
        name = f"node-{number:02d}"
        fleet.serve(name, ["127.0.0.1"], nodes / name)
        write_node_key(nodes / name)
    write_tables(tables, parties)
    for name in names_of(parties):
        fleet.enroll(name, tables / name, DAYS)
    print(f"certificates: {count} devices, {parties} parties, {members} nodes, a server")


def write_token(path: Path) -> None:
    """What lets a node into the Ray cluster; one that is there stays."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))


def write_node_key(folder: Path) -> None:
    """node.key and node.pub in OpenSSH's format, by which a SuperLink knows a node; once."""
    if (folder / "node.pub").exists():
        return
    key = ec.generate_private_key(ec.SECP384R1())
    write_key(folder / "node.key", key, serialization.PrivateFormat.OpenSSH)
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    (folder / "node.pub").write_bytes(line)


def write_tables(folder: Path, parties: int) -> None:
    """records.csv: ids and labels; PARTY/columns.csv: ids and that party's columns."""
    data = load_vertical(EMBEDDED, parties)
    labels = [data.classes[label] for label in data.labels]
    write_csv(folder / "records.csv", {"label": np.array(labels)})
    for name, part in zip(names_of(parties), data.parts, strict=True):
        write_csv(folder / name / "columns.csv", {f"column {i}": c for i, c in enumerate(part.T)})


def write_csv(path: Path, columns: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *columns])
        for record, row in enumerate(zip(*columns.values(), strict=True)):
            writer.writerow([record, *row])


if __name__ == "__main__":
    run(main)
