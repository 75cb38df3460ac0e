"""Paths on a pipe: whole ones only, and a wait that can be ended."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

from narrows.edge.listed import MAX_LINE, ListedPaths
from narrows.errors import SourceError


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    out, into = os.pipe()
    yield out, into
    os.close(out)


def test_lines_come_whole_however_they_are_cut(pipe: tuple[int, int]) -> None:
    out, into = pipe
    sent = "one\ntwo words\n\n\N{LATIN SMALL LETTER U WITH DIAERESIS}ber\nlast".encode()

    def write() -> None:
        for byte in sent:
            os.write(into, bytes([byte]))
        os.close(into)

    writer = Thread(target=write)
    writer.start()
    assert list(ListedPaths(out)) == ["one", "two words", "", "\xfcber", "last"]
    writer.join()


def test_closing_ends_the_wait(pipe: tuple[int, int]) -> None:
    out, into = pipe
    os.write(into, b"one\nhalf")
    paths = ListedPaths(out)
    lines = iter(paths)
    assert next(lines) == "one"
    rest: list[str] = []
    waiting = Thread(target=lambda: rest.extend(lines))
    waiting.start()
    paths.close()
    waiting.join()
    assert rest == []
    os.close(into)


def test_what_is_no_list_of_paths_is_an_error(pipe: tuple[int, int]) -> None:
    out, into = pipe
    writer = Thread(target=lambda: (os.write(into, b"\xff" * 3 * MAX_LINE), os.close(into)))
    writer.start()
    with pytest.raises(SourceError, match="a path a line"):
        list(ListedPaths(out))
    while os.read(out, MAX_LINE):
        pass
    writer.join()


def test_sigterm_ends_a_device_whose_pipe_stays_open(tmp_path: Path, tiny_bundle: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (40, 40), "red").save(picture)
    command = [sys.executable, "-m", "narrows", "edge", "-", "--json", "--bundle", str(tiny_bundle)]
    command += ["--server", "127.0.0.1:9", "--spool", str(tmp_path / "spool"), "--deadline-ms", "1"]
    text = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **text) as device:  # type: ignore[call-overload]
        device.stdin.write(f"{picture}\n")
        device.stdin.flush()
        assert json.loads(device.stdout.readline())["status"] == "KEPT"
        device.send_signal(signal.SIGTERM)
        assert json.loads(device.stdout.readlines()[-1])["summary"]["frames"] == 1
        assert device.wait() == 0
