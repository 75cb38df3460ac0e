"""What a board's checks find on boards that are made up, and on a server that is real."""

import json
import shutil
from datetime import datetime, timedelta, timezone

import pytest
from command_line import narrows
from serving import process

from narrows.edge.board.check import Check
from narrows.edge.board.checks import Board, check_board, check_bundle, check_identity, check_link
from narrows.edge.energy.discover import Places
from narrows.security.authority import Authority


def board(tmp_path, throttled: str | None = None, temperature: int | None = None) -> Board:
    """A board on which nothing is but what is named."""
    command = ("no-such-command-here",)
    if throttled is not None:
        script = tmp_path / "vcgencmd"
        script.write_text(f"#!/bin/sh\necho throttled={throttled}\n")
        script.chmod(0o755)
        command = (str(script),)
    if temperature is not None:
        zone = tmp_path / "thermal" / "thermal_zone0"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(f"{temperature}\n")
    nowhere = tmp_path / "nowhere"
    places = Places(nowhere, nowhere, ("no-such-command-here",), ("no-such-command-here",), nowhere)
    return Board(tmp_path / "dev", tmp_path / "thermal", tmp_path / "synchronised", command, places)


def found(made: Board) -> dict[str, Check]:
    return {check.name: check for check in check_board(made)}


def test_a_bare_board_can_do_without_camera_and_sensor(tmp_path):
    told = found(board(tmp_path))
    assert not told["camera"].ok
    assert not told["camera"].required
    assert "model" in told["energy"].found
    assert "temperature" not in told
    assert "throttled" not in told


def test_a_camera_and_a_clock_that_is_right_are_seen(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "video0").touch()
    (tmp_path / "synchronised").touch()
    told = found(board(tmp_path))
    assert told["camera"].found == "video0"
    assert told["clock"].ok


@pytest.mark.parametrize(
    ("bits", "ok", "says"),
    [
        ("0x0", True, "no"),
        ("0x50005", False, "under-voltage, throttled"),
        ("0x40000", False, "earlier: throttled"),
    ],
)
def test_the_firmwares_bits_are_told_in_words(tmp_path, bits, ok, says):
    check = found(board(tmp_path, throttled=bits))["throttled"]
    assert (check.ok, check.found) == (ok, says)


def test_heat_has_an_advice(tmp_path):
    assert found(board(tmp_path, temperature=85_000))["temperature"].advice
    zone = tmp_path / "thermal" / "thermal_zone0" / "temp"
    zone.write_text("45000\n")
    assert found(board(tmp_path))["temperature"].found == "45 C"
    zone.write_text("not a number\n")
    assert "temperature" not in found(board(tmp_path))


def test_a_certificate_is_told_by_its_days(tmp_path):
    fleet = Authority.create(tmp_path / "fleet")
    fleet.enroll("camera", tmp_path / "camera", days=7)
    check = check_identity(tmp_path / "camera")
    assert check.ok
    assert check.found.endswith("days left")
    fleet.enroll("camera", tmp_path / "camera", days=0.5)
    soon = check_identity(tmp_path / "camera")
    assert (soon.ok, soon.required) == (False, False)
    now = datetime.now(timezone.utc)
    for shift, said in ((timedelta(days=30), "expired"), (timedelta(days=-30), "from")):
        check = check_identity(tmp_path / "camera", now + shift)
        assert check.found.startswith(said)
        assert (check.ok, check.required) == (False, True)
    assert not check_identity(tmp_path / "none").ok


def test_a_damaged_bundle_is_named(tiny_bundle, tmp_path):
    assert check_bundle(tiny_bundle).ok
    copy = shutil.copytree(tiny_bundle, tmp_path / "copy")
    (copy / "head.safetensors").write_bytes(b"damaged")
    assert "head.safetensors" in check_bundle(copy).found


def test_a_server_that_is_there_and_one_that_is_not(tiny_bundle):
    with process("serve", str(tiny_bundle), "--port", "0", "--json") as server:
        address = json.loads(server.stdout.readline())["address"]
        (there,) = check_link(address, None)
        assert there.ok
        assert "ms there and back" in there.found
        done = narrows("device", "doctor", "--server", address, "--json")
        names = [check["name"] for check in json.loads(done.stdout)["checks"]]
        assert names[-1] == f"link to {address}"
    (gone,) = check_link(address, None)
    assert not gone.ok
    assert gone.required


def test_a_unit_can_be_looked_at_before_it_is_written(tmp_path):
    done = narrows("device", "install", str(tmp_path), "--server", "h:1", "--print", "--fps", "2")
    assert done.returncode == 0
    assert '"--fps" "2"' in done.stdout
    assert str(tmp_path) in done.stdout
    wrong = narrows("device", "install", "x", "--server", "h:1", "--tls", str(tmp_path), "--print")
    assert wrong.returncode == 2
    assert "device.crt" in wrong.stderr
