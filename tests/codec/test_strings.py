"""Strings: what was sealed comes back, and anything else is an error of its own kind."""

import numpy as np
import pytest
from coding import laplace_symbols, laplace_tables

from narrows.codec.strings import HEADER_BYTES, fingerprint, seal, unseal
from narrows.errors import ChecksumError, PacketError, TruncatedPacket, UnsupportedVersion
from narrows.kernels import coder

SCALES = [0.4, 2.0, 5.0]
TABLES = laplace_tables(SCALES)
KEY = fingerprint(TABLES)
COUNTS = np.array([7, 0, 113], np.uint64)


@pytest.fixture
def sealed():
    values = laplace_symbols(SCALES, 1, 40).ravel()
    coded = coder.encode_rows(values, COUNTS, TABLES.arrays)
    return coded, seal(coded, COUNTS, KEY)


def test_what_was_sealed_comes_back(sealed):
    coded, string = sealed
    assert unseal(string, COUNTS, KEY) == coded
    assert len(string) == HEADER_BYTES + len(coded.payload)


def test_other_tables_and_other_counts_do_not_open_it(sealed):
    _, string = sealed
    with pytest.raises(ChecksumError, match="another model"):
        unseal(string, COUNTS, fingerprint(laplace_tables([0.4, 2.0, 5.1])))
    with pytest.raises(ChecksumError):
        unseal(string, COUNTS[::-1].copy(), KEY)


def test_cut_long_foreign_and_future_strings_are_told_apart(sealed):
    _, string = sealed
    for length in (0, HEADER_BYTES - 1, len(string) - 1):
        with pytest.raises(TruncatedPacket):
            unseal(string[:length], COUNTS, KEY)
    with pytest.raises(PacketError, match="announces"):
        unseal(string + b"\0", COUNTS, KEY)
    with pytest.raises(PacketError, match="begin with"):
        unseal(b"NW" + string[2:], COUNTS, KEY)
    with pytest.raises(UnsupportedVersion):
        unseal(string[:2] + b"\x20" + string[3:], COUNTS, KEY)


def test_a_string_is_these_bytes():
    tables = laplace_tables([1.0], reach=3)
    counts = np.array([4], np.uint64)
    coded = coder.encode_rows(np.array([0, 1, -1, 9], np.int16), counts, tables.arrays, lanes=1)
    assert seal(coded, counts, fingerprint(tables)).hex() == "4e53100000060000b5d2ea76c42c9a000104"
