"""Writes the golden packets. By hand, once per bitstream version: existing ones must not change.

python tests/codec/golden/write.py
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from coding import laplace_symbols, laplace_tables

from narrows.codec.bitstream import serialise
from narrows.kernels import coder

PREFIX = bytes.fromhex("01020304")
# name: scales of its channels, height, width, lanes (0: chosen by size)
CASES = {
    "empty-1x1": ([0.01], 1, 1, 0),
    "small-2-lanes": ([0.1, 0.5, 2.0], 9, 7, 2),
    "one-lane": ([1.0, 1.0], 6, 5, 1),
    "wide-8-lanes": ([0.3, 3.0, 9.0, 0.05], 21, 33, 8),
    "big-32-lanes": ([2.0, 6.0], 40, 41, 32),
    "all-escaped": ([0.2], 4, 11, 4),
}


def write() -> None:
    arrays = {}
    for name, (scales, height, width, lanes) in CASES.items():
        tables = laplace_tables(scales, reach=30)
        symbols = laplace_symbols(scales, height, width, seed=len(name))
        if name == "all-escaped":
            symbols = (
                np.linspace(-32768, 32767, symbols.size).astype(np.int16).reshape(symbols.shape)
            )
        coded = coder.encode(symbols, tables.arrays, lanes)
        (HERE / f"{name}.nwp").write_bytes(serialise(1, PREFIX, height, width, coded))
        arrays[f"{name}.symbols"] = symbols
        arrays |= tables.to_arrays(f"{name}.")
    save_file(arrays, HERE / "golden.safetensors")
    _errors((HERE / "small-2-lanes.nwp").read_bytes())


def _errors(good: bytes) -> None:
    """Packets that must be refused, named after the error they must cause."""
    sealed = bytearray(good)
    sealed[-1] ^= 0x40
    sealed[18:22] = coder.crc32c(bytes(sealed[:18] + sealed[22:])).to_bytes(4, "little")
    faults = {
        "TruncatedPacket": good[:-1],
        "ChecksumError": good[:-1] + bytes([good[-1] ^ 1]),
        "UnsupportedVersion": good[:2] + b"\x02" + good[3:],
        "PacketError": b"XX" + good[2:],
        "CorruptPayload": bytes(sealed),
    }
    (HERE / "errors").mkdir(exist_ok=True)
    for name, data in faults.items():
        (HERE / "errors" / f"{name}.nwp").write_bytes(data)


if __name__ == "__main__":
    write()
