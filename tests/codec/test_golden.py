"""Packets written once: every later build must read them, and write them again byte for byte."""

from pathlib import Path

import numpy as np
import pytest
from coding import decoded
from safetensors.numpy import load_file

from narrows import errors
from narrows.codec import bitstream
from narrows.codec.frame import FrameCodec, PointCoding
from narrows.codec.tables import CodingTables
from narrows.kernels import coder
from narrows.kernels.coder import reference

GOLDEN = Path(__file__).parent / "golden"
ARRAYS = load_file(GOLDEN / "golden.safetensors")
PACKETS = sorted(GOLDEN.glob("*.nwp"))
FAULTS = sorted((GOLDEN / "errors").glob("*.nwp"))


def tables_of(name: str) -> CodingTables:
    return CodingTables.from_arrays(ARRAYS, f"{name}.")


@pytest.mark.parametrize("path", PACKETS, ids=lambda p: p.stem)
@pytest.mark.parametrize("implementation", [coder, reference], ids=["default", "reference"])
def test_golden_packets_decode_to_their_symbols(path, implementation):
    packet = bitstream.parse(path.read_bytes())
    h = packet.header
    tables = tables_of(path.stem).arrays
    coded = coder.EncodedPayload(packet.payload, h.lanes, h.tail)
    symbols = decoded(implementation, coded, tables, (tables.channels, h.height, h.width))
    assert np.array_equal(symbols, ARRAYS[f"{path.stem}.symbols"])


@pytest.mark.parametrize("path", PACKETS, ids=lambda p: p.stem)
def test_golden_symbols_encode_to_their_packets(path):
    data = path.read_bytes()
    h = bitstream.parse(data).header
    coded = coder.encode(ARRAYS[f"{path.stem}.symbols"], tables_of(path.stem).arrays, h.lanes)
    assert bitstream.serialise(h.point, h.digest_prefix, h.height, h.width, coded) == data


@pytest.mark.parametrize("path", FAULTS, ids=lambda p: p.stem)
def test_golden_faults_cause_the_error_they_are_named_after(path):
    one = np.ones(3, np.float32)
    point = PointCoding(tables_of("small-2-lanes"), one, one, one * 0)
    codec = FrameCodec(b"\1\2\3\4", [point, point], (64, 64))
    try:
        (found,) = codec.decode([bitstream.parse(path.read_bytes())])
    except errors.PacketError as error:
        found = error
    assert type(found).__name__ == path.stem


def test_the_documents_worked_example_is_true():
    page = (Path(__file__).parents[2] / "docs" / "bitstream.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("    4e 57"))
    tables = coder.TableArrays(
        np.array([-1], np.int32),
        np.array([3], np.int32),
        np.array([0, 4096, 12288, 14336, 16384], np.uint16),
    )
    coded = coder.encode(np.array([[[0, 0, 1, 5]]], np.int16), tables, 1)
    packet = bitstream.serialise(0, b"\1\2\3\4", 1, 4, coded)
    assert packet.hex(" ") == line.strip()
