"""What a board's checks find on boards that are made up, and on a server that is real."""

import json
import shutil
from datetime import datetime, timedelta, timezone

import pytest
from command_line import narrows
from made_up_board import NOWHERE, places, put, put_cooling, put_zone
from serving import process

from narrows.edge.board.check import Check
from narrows.edge.board.checks import Board, check_board, check_bundle, check_identity, check_link
from narrows.edge.energy.discover import Places
from narrows.security.authority import Authority


def board(tmp_path, throttled: str | None = None, temperature: float | None = None) -> Board:
    """A board on which nothing is but what is named."""
    thermal, nowhere = tmp_path / "thermal", tmp_path / "nowhere"
    if temperature is not None:
        put_zone(thermal, temperature)
    heat = places(thermal, None if throttled is None else f"throttled={throttled}")
    energy = Places(nowhere, nowhere, NOWHERE, NOWHERE, nowhere)
    devices, synchronised = tmp_path / "dev", tmp_path / "synchronised"
    return Board(devices, synchronised, tmp_path / "controllers", heat, energy)


def found(made: Board) -> dict[str, Check]:
    return {check.name: check for check in check_board(made)}


def test_a_bare_board_can_do_without_camera_and_sensor(tmp_path):
    told = found(board(tmp_path))
    assert not told["camera"].ok
    assert not told["camera"].required
    assert "model" in told["energy"].found
    assert "temperature" not in told
    assert "throttled" not in told
    assert "memory cap" not in told


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
    assert "80 C" in found(board(tmp_path, temperature=85))["temperature"].advice
    told = found(board(tmp_path, temperature=45))["temperature"]
    assert (told.found, told.advice) == ("45 C", "")
    put(tmp_path / "thermal" / "thermal_zone0" / "temp", "not a number")
    assert "temperature" not in found(board(tmp_path))


def test_a_clock_that_the_kernel_holds_back_is_told_as_a_running_device_sees_it(tmp_path):
    put_cooling(tmp_path / "thermal", "cpufreq-cpu0", 0)
    assert found(board(tmp_path))["throttled"].ok
    put_cooling(tmp_path / "thermal", "cpufreq-cpu0", 3)
    told = found(board(tmp_path, temperature=85))["throttled"]
    assert (told.found, told.ok) == ("cpufreq-cpu0", False)


@pytest.mark.parametrize(("has", "ok"), [("cpu io memory pids", True), ("cpu io pids", False)])
def test_a_kernel_that_caps_no_memory_is_told(tmp_path, has, ok):
    put(tmp_path / "controllers", has)
    check = found(board(tmp_path))["memory cap"]
    assert (check.ok, bool(check.advice)) == (ok, not ok)


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
