"""A device's frames one after another: each against the one before where that is cheaper."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from narrows.codec.frame import FrameCodec
from narrows.codec.inter import Reference


class VideoEncoder:
    """Keeps the last frame's symbols; the first frame, and one of another size or point, is a key.

    The receiver decodes packets in the order of encoding. Where it lacks a frame's reference, that
    frame's key packet stands for it in every respect: the symbols are the same. Asking for one
    tells that the receiver lost its place, so the next frame encoded is a key as well; that may
    happen in another thread.
    """

    def __init__(self, codec: FrameCodec):
        self._codec = codec
        self._before: Reference | None = None
        self._frames = 0
        self._last_key = 0  # its number
        self._key_bytes = 0
        self._lost = 0  # the newest frame whose reference the receiver lacked

    def encode(self, latent: NDArray[np.float32], point: int) -> tuple[bytes, Callable[[], bytes]]:
        """float32 (C, height, width) -> a packet, and what makes the same frame's key packet.

        Raises:
            ShapeError: no such operating point, other channels, or a latent that is too large.
        """
        codec, before = self._codec, self._before
        if before is not None and (before.point != point or self._lost > self._last_key):
            before = None
        symbols = codec.quantise(latent, point, before)
        self._before = Reference(symbols, point)
        self._frames += 1
        number = self._frames

        def key() -> bytes:
            self._lost = max(self._lost, number)
            return codec.encode_symbols(symbols, point)

        if before is not None and before.fits(symbols, point):
            inter = codec.encode_symbols(symbols, point, before)
            if len(inter) < self._key_bytes:
                return inter, key
        packet = codec.encode_symbols(symbols, point)  # the first frame, or perhaps another scene
        self._last_key, self._key_bytes = number, len(packet)
        return packet, key
