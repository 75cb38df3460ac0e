"""Vertical sessions of real processes over sockets: parties die, lie, stop, and come back."""

import asyncio
import contextlib
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from vertical_processes import JOIN, PATIENCE_S, coordinating, joining, until, write_tables

ray = pytest.importorskip("ray", reason="needs the server extra")

from ray.cluster_utils import Cluster
from safetensors.numpy import load_file

from narrows.edge.link import LinkSettings
from narrows.edge.vertical.join import Straggling, take_part
from narrows.edge.vertical.party import Party, PartySettings
from narrows.edge.vertical.table import Table
from narrows.errors import LinkError
from narrows.protos.narrows.v1 import vertical_pb2_grpc as pb_grpc
from narrows.security.authority import Authority
from narrows.simulations.links.relay import Relay
from narrows.simulations.links.spec import LinkSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, str]]:
    """One Ray for most sessions of this file, as an option of `serve`; starting one takes long."""
    started = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
    )
    try:
        yield "--ray-address", started.address
    finally:
        started.shutdown()


def by_name(result: dict) -> dict[str, dict]:
    return {party["name"]: party for party in result["parties_by_name"]}


def who(result: dict, what: str) -> list[str]:
    return [name for name, party in by_name(result).items() if party[what]]


# --- dying and lying, among strangers ---


async def turned_away(address: str, tables: list[Path], tls: Path, folder: Path) -> list[str]:
    """What strangers are told in the middle of a session: first those that it has words for."""

    async def told(name: str, credentials: Path, give_up_s: float = PATIENCE_S) -> str:
        table = Table.load(tables[0], None, "id")
        party = Party(PartySettings(name, table, folder / f"stranger {name}", credentials))
        link = LinkSettings(give_up_s=give_up_s, tls=credentials)
        with pytest.raises(LinkError) as refused:
            await take_part(party, address, link, Straggling())
        return str(refused.value).partition(": ")[2]

    def garbage() -> None:
        host, port = address.split(":")
        for data in (os.urandom(3000), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(90)):
            with socket.create_connection((host, int(port))) as line, contextlib.suppress(OSError):
                line.sendall(data)
                line.recv(100)

    says = await asyncio.gather(
        told("party-12", tls / "party-12"),
        told("party-03", tls / "party-03"),
        told("party-04", tls / "party-12"),
        told("party-06", tls / "revoked"),
    )
    await asyncio.to_thread(garbage)
    read = [tls / "party-12" / name for name in ("ca.crt", "device.key", "device.crt")]
    root, key, chain = (path.read_bytes() for path in read)
    silent = grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(root, key, chain))
    stream = pb_grpc.VerticalStub(silent).Join()  # its Hello never comes
    says.append(await told("party-05", tls / "other", give_up_s=0.5))
    # Ten seconds, or the session's end; tests/server/test_vertical_ingress.py knows which.
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.read()
    await silent.close()
    return says


def test_twelve_parties_four_killed_one_lying_among_strangers(tmp_path):
    """S = 4 and A = 1: it ends, and the right parties are named."""
    labels, tables = write_tables(tmp_path / "data", parties=12, records=150)
    authority = Authority.create(tmp_path / "ca")
    authority.serve("here", ["127.0.0.1"], tmp_path / "server")
    tls = tmp_path / "tls"
    for n in range(13):
        authority.enroll(f"party-{n:02d}", tls / f"party-{n:02d}")
    Authority.create(tmp_path / "other-ca").enroll("party-05", tls / "other")
    authority.enroll("party-06x", tls / "revoked")
    authority.revoke("party-06x")
    rng = np.random.default_rng(7)
    doomed = sorted(rng.choice(11, 4, replace=False).tolist())
    moments = sorted(rng.integers(2, 60, 4).tolist())
    options = ("--stragglers", "4", "--wrong", "1", "--epochs", "60", "--batch-rows", "16")
    options += ("--parties", "12", "--share-wait-seconds", "60", "--rate", "0.03")
    with (
        coordinating(
            labels, tmp_path / "out", *options, "--tls", str(tmp_path / "server")
        ) as session,
        joining() as join,
    ):
        parties = [
            join(table, table.stem, session.address, "--tls", str(tls / table.stem))
            for table in tables[:11]
        ]
        liar = join(
            tables[11], "party-11", session.address,
            tls=str(tls / "party-11"), lie="results", after=20,
        )  # fmt: skip
        session.reach(1)
        with ThreadPoolExecutor(1) as pool:
            strangers = turned_away(session.address, tables, tls, tmp_path)
            turning_away = pool.submit(asyncio.run, strangers)
            for n, moment in zip(doomed, moments, strict=True):
                session.reach(moment)
                parties[n].process.send_signal(signal.SIGKILL)
            said = turning_away.result()
        result = session.result()
        assert "the session has begun without it" in said[0]
        assert "come back with the folder it was begun with" in said[1]
        assert "its certificate is of 'party-12'" in said[2]
        assert "a device's certificate is needed" in said[3]
        assert "no coordinator for 0.5 s" in said[4]
        left = [party for n, party in enumerate(parties) if n not in doomed]
        assert all(party.ended_well() for party in (*left, liar))
    assert who(result, "wrong") == ["party-11"]
    assert who(result, "away") == [f"party-{n:02d}" for n in doomed]
    assert who(result, "excluded") == []
    assert (result["recovery_threshold"], result["stragglers"]) == (5, 5)
    assert result["records"] == 150
    losses = [epoch["loss"] for epoch in result["epochs"]]
    assert len(losses) == 60
    assert losses[-1] < losses[0] / 2  # thirty records held out are too few for an accuracy's bound
    assert result["unverified_rounds"] == 0


# --- stopping, leaving, coming back ---


@contextlib.contextmanager
def relayed(target: str) -> Iterator:
    """A link that can be cut; the functions that cut and mend it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    relay = Relay(target, LinkSpec.parse("1gbit"))

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)

    run(relay.__aenter__())
    try:
        yield (
            f"127.0.0.1:{relay.port}",
            lambda: loop.call_soon_threadsafe(relay.cut),
            lambda: loop.call_soon_threadsafe(relay.restore),
        )
    finally:
        run(relay.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def test_parties_that_stop_leave_or_lose_their_link_come_back(tmp_path, cluster):
    labels, tables = write_tables(tmp_path / "data", parties=8, records=120)
    options = ("--stragglers", "3", "--share-wait-seconds", "0.5", "--epochs", "1000000")
    options += ("--parties", "8", "--batch-rows", "16", *cluster)
    names = [table.stem for table in tables]
    with coordinating(labels, tmp_path / "out", *options) as session, joining() as join:
        with relayed(session.address) as (address, cut, restore):
            parties = [
                join(table, table.stem, address if n == 3 else session.address)
                for n, table in enumerate(tables[:7])
            ]
            join(tables[7], names[7], session.address, lie="shares", after=4)

            def away(n: int, is_away: bool) -> None:
                session.until(
                    lambda: session.value("away", names[n]) == is_away, f"away {names[n]}"
                )

            session.reach(6)
            session.until(lambda: session.value("excluded", names[7]) == 1, "the excluded one")

            parties[1].process.send_signal(signal.SIGSTOP)
            away(1, True)
            session.go_on()
            parties[1].process.send_signal(signal.SIGCONT)
            away(1, False)

            parties[2].process.send_signal(signal.SIGKILL)
            away(2, True)
            session.go_on()
            stranger = join(tables[2], names[2], session.address, folder=tmp_path / "another")
            _, error = stranger.process.communicate(timeout=PATIENCE_S)
            assert stranger.process.returncode == 2
            assert f"'{names[2]}': the session has begun: come back with the folder" in error
            parties[2] = join(tables[2], names[2], session.address)
            away(2, False)

            cut()
            away(3, True)
            session.go_on()
            restore()
            away(3, False)

            session.go_on()
            answered = session.value("answered_total", names[2])
            session.until(
                lambda: session.value("answered_total", names[2]) > answered, "an answer of it"
            )
            session.process.terminate()
            assert session.process.wait(PATIENCE_S) == 0
            assert all(party.process.poll() is None for party in parties)


# --- the same weights, whatever happens ---

WIDTH = 4
SAME = ("--parties", "5", "--stragglers", "2", "--epochs", "6", "--batch-rows", "8")
SAME += ("--width", str(WIDTH), "--hidden", "8", "--aligned", "--share-wait-seconds", "60")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cluster):
    """A session with weights to begin with: its folders, and what it reached."""
    folder = tmp_path_factory.mktemp("undisturbed")
    labels, tables = write_tables(folder / "data", parties=5, records=100, order=True)
    with coordinating(labels, folder / "out", *SAME, *cluster) as session, joining() as join:
        parties = [join(t, t.stem, session.address, seed=1, width=WIDTH) for t in tables]
        result = session.result()
        assert all(party.ended_well() for party in parties)
    return folder, result


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    """Everybody's, the top network's and Adam's too."""
    paths = [*sorted((folder / "data").glob("party-*/weights.safetensors"))]
    assert len(paths) == 5
    paths.append(folder / "out" / "top.safetensors")
    return {f"{p.parent.name}/{k}": v for p in paths for k, v in load_file(p).items()}


def test_delays_and_a_killed_coordinator_change_no_bit_of_the_weights(
    tmp_path, cluster, undisturbed
):
    labels, tables = write_tables(tmp_path / "data", parties=5, records=100, order=True)
    with joining() as join:
        with coordinating(labels, tmp_path / "out", *SAME, *cluster) as session:
            port = int(session.address.split(":")[1])
            parties = [
                join(t, t.stem, session.address, seed=1, width=WIDTH, delay_s=0.1) for t in tables
            ]
            session.reach(15)
            session.process.send_signal(signal.SIGKILL)
            session.process.wait(PATIENCE_S)
        until(lambda: not listening(port), "the port to be free")
        options = (*SAME, *cluster)
        with coordinating(labels, tmp_path / "out", *options, port=port) as session:
            result = session.result()
        assert all(party.ended_well() for party in parties)
    expected, found = weights_of(undisturbed[0]), weights_of(tmp_path)
    assert found.keys() == expected.keys()
    for name in expected:
        if not name.endswith("/steps"):  # rounds are counted on from far away
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    for one, other in zip(result["epochs"], undisturbed[1]["epochs"], strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
    assert sum(party["late"] for party in result["parties_by_name"]) > 0


def listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_an_ended_session_is_not_begun_again(undisturbed, cluster):
    folder, _ = undisturbed
    before = (folder / "out" / "result.json").read_bytes()
    command = [sys.executable, "-m", "narrows", "vertical", "serve", "--id", "id", *SAME, *cluster]
    command += [str(folder / "data" / "labels.csv"), "--out", str(folder / "out"), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .endswith("this session has ended: --out begins another")
    )
    assert (folder / "out" / "result.json").read_bytes() == before


# --- prediction ---


def test_predictions_are_what_the_parts_compute_in_the_clear(tmp_path, cluster, undisturbed):
    folder, _ = undisturbed
    records, tables = write_tables(tmp_path / "data", parties=5, records=30, first=5000)
    options = ("--parties", "5", "--predict", str(folder / "out"), *cluster)
    with coordinating(records, tmp_path / "out", *options) as session, joining() as join:
        models = [str(folder / "data" / table.stem) for table in tables]
        parties = [
            join(table, table.stem, session.address, "--model", model)
            for table, model in zip(tables, models, strict=True)
        ]
        result = session.result()
        assert all(party.ended_well() for party in parties)
    assert result["records"] == 30
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    ids = [row["id"] for row in rows]
    assert sorted(ids) == sorted(f"person {i}" for i in range(5000, 5030))
    sums = np.zeros((30, WIDTH))
    for table, model in zip(tables, models, strict=True):
        told = json.loads((Path(model) / "preparation.json").read_text())["columns"]
        weights = load_file(Path(model) / "weights.safetensors")["weights"]
        with open(table, newline="") as file:
            cells = {row["id"]: row for row in csv.DictReader(file)}
        x = np.array([[float(cells[name][c["name"]]) for c in told] for name in ids])
        means, deviations = ([c[kind][0] for c in told] for kind in ("means", "deviations"))
        sums += ((x - means) / deviations).clip(-8, 8) @ weights[0]
    top = load_file(folder / "out" / "top.safetensors")
    hidden = np.maximum(sums + top["bias"], 0) @ top["layers.0.weight"].T + top["layers.0.bias"]
    logits = np.maximum(hidden, 0) @ top["layers.1.weight"].T + top["layers.1.bias"]
    odds = np.exp(logits - logits.max(1, keepdims=True))
    expected = odds / odds.sum(1, keepdims=True)
    found = np.array([[float(row["no"]), float(row["yes"])] for row in rows])
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert [row["class"] for row in rows] == [("no", "yes")[p.argmax()] for p in found]


# --- in the clear ---


@pytest.mark.parametrize("waiting", ["all", "drop", "asynchronous"])
def test_in_the_clear_it_learns_under_each_rule_where_everybody_agreed(tmp_path, cluster, waiting):
    labels, tables = write_tables(tmp_path / "data", parties=3, records=100, order=True)
    options = ("--parties", "3", "--plain", "--wait", waiting, "--epochs", "8", "--aligned")
    options += ("--party-hidden", "6", "--deadline-seconds", "2", "--batch-rows", "16", *cluster)
    with coordinating(labels, tmp_path / "out", *options) as session, joining() as join:
        parties = [join(table, table.stem, session.address, "--allow-plain") for table in tables]
        result = session.result()
        assert all(party.ended_well() for party in parties)
    assert result["protected"] is False
    assert result["epochs"][-1]["loss"] < result["epochs"][0]["loss"]


def test_in_the_clear_a_party_that_did_not_agree_refuses(tmp_path, cluster):
    labels, tables = write_tables(tmp_path / "data", parties=3, records=20, order=True)
    command = [sys.executable, "-m", "narrows", "vertical", "serve", str(labels), "--id", "id"]
    command += ["--parties", "3", "--plain", "--aligned", "--port", "0", "--json", *cluster]
    command += ["--out", str(tmp_path / "out")]
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as serving,
        joining() as join,
    ):
        address = json.loads(serving.stdout.readline())["address"]
        join(tables[0], "party-00", address, "--allow-plain")
        join(tables[2], "party-02", address, "--allow-plain")
        alone = join(tables[1], "party-01", address)
        _, error = alone.process.communicate(timeout=PATIENCE_S)
        assert alone.process.returncode == 2
        assert "asks for everything in the clear: --allow-plain agrees to that" in error
        _, error = serving.communicate(timeout=PATIENCE_S)
        assert serving.returncode == 2
    assert "narrows: party-01 refuses: the coordinator asks for everything in the clear" in error
    assert not (tmp_path / "out" / "session.json").exists()


def test_the_command_line_of_a_party_needs_no_server_package():
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('torch', 'ray', 'torchvision'))\n"
        f"sys.argv = ['narrows', *{JOIN[3:]!r}, 'absent.csv', '--name', 'x']\n"
        "from narrows.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1].startswith("narrows: absent.csv: cannot be read")
    assert done.returncode == 2
