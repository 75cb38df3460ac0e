"""The unit: what systemd thinks of it, and that a command's words stay what they are."""

import shlex
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.edge.board.service import Service, install, quoted
from narrows.errors import ConfigError

WORDS = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cc", "Cs"])
)


def service(**changes) -> Service:
    usual = {"name": "narrows-edge", "user": "root", "arguments": ("/srv/a b", "--server", "h:1")}
    return Service(**(usual | changes))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong(tmp_path):
    path = install(service(arguments=("/srv/100% $HOME", "--server", 'a"b:1')), tmp_path)
    command = ["systemd-analyze", "verify", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_bounded_restarted_and_told_by_its_answers(tmp_path):
    lines = service(memory_mb=100).text().splitlines()
    for line in (
        "Restart=always",
        "MemoryMax=100M",
        "MemorySwapMax=0",
        "ProtectSystem=strict",
        "User=root",
    ):
        assert line in lines
    (command,) = [line for line in lines if line.startswith("ExecStart=")]
    words = shlex.split(command.removeprefix("ExecStart="))
    assert words[:4] == [sys.executable, "-m", "narrows", "edge"]
    assert words[4:7] == ["/srv/a b", "--server", "h:1"]
    assert words[-2:] == ["--heartbeat", "/run/narrows-edge/answered"]


@given(WORDS)
def test_a_word_is_one_word_and_nothing_in_it_is_expanded(word):
    told = quoted(word)
    assert told[0] == told[-1] == '"'
    inner = told[1:-1].replace("%%", "").replace("$$", "").replace("\\\\", "").replace('\\"', "")
    assert not set(inner) & set('%$"\\')
    unescaped = told[1:-1].replace("%%", "%").replace("$$", "$")
    assert shlex.split(f'"{unescaped}"') == [word]


@pytest.mark.parametrize("word", ["a\nExecStartPre=/bin/true", "a\0b", "a\x7f"])
def test_a_second_line_cannot_be_smuggled_in(word):
    with pytest.raises(ConfigError, match="control character"):
        service(arguments=(word,)).text()


@pytest.mark.parametrize("changes", [{"name": "../x"}, {"name": "a b"}, {"user": "a\nb"}])
def test_names_are_names(changes):
    with pytest.raises(ConfigError, match="expected"):
        service(**changes)


def test_where_it_cannot_be_written_nothing_is_left(tmp_path):
    with pytest.raises(ConfigError, match="sudo"):
        install(service(), tmp_path / "none")
    assert not list(tmp_path.iterdir())
