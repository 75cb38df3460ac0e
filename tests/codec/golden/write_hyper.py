"""Writes the golden hyperprior frame. By hand, and only when its bytes change on purpose.

python tests/codec/golden/write_hyper.py
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from test_hyper import codec, frame


def write() -> None:
    latent, hyperlatent = frame(11, 9)
    data = codec().encode(latent, hyperlatent)
    arrays = codec().to_arrays() | {
        "latent": latent,
        "hyperlatent": hyperlatent,
        "bytes": np.frombuffer(data, np.uint8),
        "restored": codec().decode(data, 11, 9),
    }
    save_file(arrays, HERE / "hyper.safetensors")


if __name__ == "__main__":
    write()
