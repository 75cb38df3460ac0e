"""One-time codes: used once, in time, and not found by guessing."""

import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import ConfigError
from narrows.security import codes as module
from narrows.security.codes import (
    CODES,
    GUESSES,
    PIN_BYTES,
    SECRET_BYTES,
    Codes,
    read_code,
    written,
)

WRONG = bytes(SECRET_BYTES)


@given(st.binary(min_size=PIN_BYTES, max_size=PIN_BYTES), st.binary(min_size=10, max_size=10))
def test_a_code_is_read_as_it_was_written_however_it_was_copied(pin, secret):
    text = written(pin, secret)
    assert read_code(text) == (pin, secret)
    assert read_code(f" {text.replace('-', ' ').lower()}\n") == (pin, secret)


@pytest.mark.parametrize("text", ["", "ABCD", "1111-1111", "A" * 33, "ABCD-" * 9, "é" * 32])
def test_what_is_no_code_is_told(text):
    with pytest.raises(ConfigError, match="no code"):
        read_code(text)


def test_a_code_is_used_once_and_by_its_device(tmp_path):
    codes = Codes(tmp_path)
    secret = codes.give("camera", 60)
    assert not codes.use("other", secret)
    assert codes.use("camera", secret)
    assert not codes.use("camera", secret)


def test_a_newer_code_voids_the_one_before(tmp_path):
    codes = Codes(tmp_path)
    first, second = codes.give("camera", 60), codes.give("camera", 60)
    assert not codes.use("camera", first)
    assert codes.use("camera", second)


def test_it_expires(tmp_path, monkeypatch):
    codes = Codes(tmp_path)
    secret = codes.give("camera", 60)
    now = module.time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 61)
    assert not codes.use("camera", secret)


def test_guessing_ends_it(tmp_path):
    codes = Codes(tmp_path)
    secret = codes.give("camera", 60)
    for _ in range(GUESSES - 1):
        assert not codes.use("camera", WRONG)
    again = Codes(tmp_path)  # another process
    assert not again.use("camera", WRONG)
    assert not again.use("camera", secret)


def test_the_folder_keeps_no_code(tmp_path):
    secret = Codes(tmp_path).give("camera", 60)
    path = tmp_path / CODES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret.hex() not in path.read_text()
    assert json.loads(path.read_text())[0]["name"] == "camera"
