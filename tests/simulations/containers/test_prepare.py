"""What containers find before they start: whose it is, what a second run leaves alone."""

import csv
import stat

import pytest

pytest.importorskip("sklearn", reason="needs the server extra")

from narrows.security.files import read_credentials
from narrows.simulations.containers.prepare import main
from narrows.simulations.demo.photographs import CROPS
from narrows.simulations.vertical.parties import names_of


@pytest.fixture
def volumes(tmp_path):
    (tmp_path / "photographs").mkdir()
    names = ("authority", "server", "devices", "nodes", "cluster", "photographs", "tables")
    return {name: tmp_path / name for name in names}


def test_identities_are_their_owners_and_the_authority_keeps_its_key(volumes):
    main(**volumes, count=3, members=2, parties=3)
    assert [p.name for p in sorted(volumes["devices"].iterdir())] == [
        "device-00", "device-01", "device-02",
    ]  # fmt: skip
    for place, kind in (
        (volumes["server"], "server"),
        (volumes["devices"] / "device-02", "device"),
        (volumes["tables"] / "party-00", "device"),
        (volumes["nodes"] / "node-01", "server"),
    ):
        read_credentials(place, kind)
        assert not (place / "ca.key").exists()
    secret = [volumes["cluster"] / "token", volumes["nodes"] / "node-00" / "node.key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert len(list(volumes["photographs"].rglob("*.jpg"))) == CROPS


def test_a_second_run_renews_certificates_and_keeps_what_others_know_them_by(volumes):
    main(**volumes, count=1, members=1, parties=3)
    kept = [
        volumes["authority"] / "ca.crt", volumes["cluster"] / "token",
        volumes["nodes"] / "node-00" / "node.pub", volumes["tables"] / "records.csv",
    ]  # fmt: skip
    before = [path.read_bytes() for path in kept]
    certificate = (volumes["devices"] / "device-00" / "device.crt").read_bytes()
    main(**volumes, count=2, members=1, parties=3)
    assert [path.read_bytes() for path in kept] == before
    assert (volumes["devices"] / "device-00" / "device.crt").read_bytes() != certificate


def test_a_partys_table_has_columns_of_its_own_and_the_records_ids(volumes):
    main(**volumes, count=1, members=1, parties=3)
    with open(volumes["tables"] / "records.csv") as file:
        records = list(csv.DictReader(file))
    tables = []
    for name in names_of(3):
        with open(volumes["tables"] / name / "columns.csv") as file:
            tables.append(list(csv.DictReader(file)))
    assert all([r["id"] for r in t] == [r["id"] for r in records] for t in tables)
    assert sum(len(table[0]) - 1 for table in tables) == 30  # of breast_cancer
