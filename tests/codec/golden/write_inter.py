"""Writes the golden inter packet. By hand, once per bitstream version: it must not change.

python tests/codec/golden/write_inter.py
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from coding import laplace_symbols

from narrows.codec.bitstream import serialise
from narrows.codec.inter import Reference, count_differences, tables_of

SCALES = [0.2, 1.0, 4.0]


def write() -> None:
    before = laplace_symbols(SCALES, 14, 19, seed=1)
    changed = np.random.default_rng(2).random(before.shape) < 0.1
    symbols = np.where(changed, laplace_symbols(SCALES, 14, 19, seed=3), before)
    symbols[1, 2, 3] += 300  # an escape
    counts = count_differences([laplace_symbols(SCALES, 14, 19, seed=s // 3) for s in range(9)], 12)
    tables = tables_of(counts, len(SCALES))
    reference = Reference(before, 1)
    coded = reference.encode(symbols, tables)
    packet = serialise(1, bytes.fromhex("01020304"), 14, 19, coded, reference.checksum)
    arrays = {"before": before, "symbols": symbols, "packet": np.frombuffer(packet, np.uint8)}
    save_file(arrays | tables.to_arrays(), HERE / "inter.safetensors")


if __name__ == "__main__":
    write()
