"""The UM25C, a meter between a USB supply and what it feeds, over its Bluetooth serial port.

It is sent the byte 0xF0 and answers 130 bytes, big-endian (https://sigrok.org/wiki/RDTech_UM_series):
0 model (0x09C9), 2 voltage in mV, 4 current in 0.1 mA, 6 power in mW, 32 bits; the rest is
temperatures, charges by group, data lines, settings. Bind it first: `rfcomm bind 0 ADDRESS`.
"""

import os
import select
import struct
import termios
import time
import tty
from dataclasses import dataclass
from pathlib import Path

from narrows.edge.energy.sensor import About
from narrows.errors import SensorError

ASK = b"\xf0"
FRAME_BYTES = 130
MODEL = 0x09C9
PATIENCE_S = 3.0
_LAYOUT = struct.Struct(">HHHI")
_SLACK_W, _SLACK = 0.02, 0.05  # by which power may differ from voltage times current


@dataclass(frozen=True)
class Reading:
    """What the meter sees at its USB port."""

    volts: float
    amperes: float
    watts: float


class Um25c:
    """`with Um25c(Path("/dev/rfcomm0")) as meter: meter.watts()`."""

    about = About("um25c", "all that the board draws at its USB input", "board")

    def __init__(self, device: Path, patience_s: float = PATIENCE_S):
        """Raises SensorError: it cannot be opened, or is no UM25C."""
        self._device, self._patience_s = device, patience_s
        try:
            self._port = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise SensorError(f"{device}: {error.strerror}: bind it by `rfcomm bind`") from None
        try:
            tty.setraw(self._port)
            self.watts()
        except (termios.error, SensorError) as error:
            os.close(self._port)
            raise SensorError(f"{device}: not a UM25C: {error}") from None

    def __enter__(self) -> "Um25c":
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._port)

    def watts(self) -> float:
        """Asks the meter, which takes it a tenth of a second. Raises SensorError."""
        try:
            termios.tcflush(self._port, termios.TCIFLUSH)  # of an answer that came too late
            os.write(self._port, ASK)
            return parse(self._answer()).watts
        except OSError as error:
            raise SensorError(f"{self._device}: {error.strerror}") from None

    def _answer(self) -> bytes:
        answer, ends_s = b"", time.monotonic() + self._patience_s
        while len(answer) < FRAME_BYTES:
            left_s = max(0.0, ends_s - time.monotonic())
            if not select.select([self._port], [], [], left_s)[0]:
                raise SensorError(f"{self._device}: {len(answer)} of {FRAME_BYTES} bytes came")
            part = os.read(self._port, FRAME_BYTES - len(answer))
            if not part:
                raise SensorError(f"{self._device}: the meter hung up")
            answer += part
        return answer


def parse(frame: bytes) -> Reading:
    """130 bytes -> what it measured.

    Raises:
        SensorError: another length or model, or a power that is not voltage times current, as
            where bytes were lost before these.
    """
    if len(frame) != FRAME_BYTES:
        raise SensorError(f"expected {FRAME_BYTES} bytes of a UM25C, got {len(frame)}")
    model, millivolts, tenth_milliamperes, milliwatts = _LAYOUT.unpack_from(frame)
    if model != MODEL:
        raise SensorError(f"expected model {MODEL:#06x} (UM25C), got {model:#06x}")
    found = Reading(millivolts / 1e3, tenth_milliamperes / 1e4, milliwatts / 1e3)
    product = found.volts * found.amperes
    if abs(found.watts - product) > _SLACK_W + _SLACK * product:
        raise SensorError(f"{found.watts:g} W is not {found.volts:g} V x {found.amperes:g} A")
    return found
