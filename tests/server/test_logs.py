"""What a server says of itself, and how much of it."""

import json
import logging

import pytest

from narrows.errors import ConfigError
from narrows.protos.narrows.v1 import inference_pb2
from narrows.server import ration
from narrows.server.framelog import LINES_PER_SECOND, FrameLog
from narrows.server.logs import LONGEST, JsonFormatter, TextFormatter, about, set_up_logs

Frame, Status = inference_pb2.Frame, inference_pb2.FrameStatus


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.getLogger("narrows.tests").makeRecord(
        "narrows.tests", logging.INFO, __file__, 1, message, (), None, extra=about(**fields)
    )
    made.created = 0.25
    return made


def refused(code: int, message: str) -> inference_pb2.Result:
    return inference_pb2.Result(status=Status(code=code, message=message))


def test_a_record_is_one_json_object():
    line = JsonFormatter().format(record('a "quote"\nand a line', device="camera-7", bundle=""))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "INFO",
        "logger": "narrows.tests",
        "message": 'a "quote"\nand a line',
        "device": "camera-7",
    }


def test_a_device_cannot_forge_a_second_line():
    line = TextFormatter().format(record("a\r\nb\x1b[2J\u2028", bundle="x\ny\x85"))
    assert len(line.splitlines()) == 1
    assert line.startswith("1970-01-01T00:00:00.250Z INFO narrows.tests: a\\x0d\\x0ab\\x1b[2J")


def test_a_device_cannot_write_a_long_line():
    line = JsonFormatter().format(record("m" * (1 << 20), bundle="b" * (1 << 20)))
    assert len(line) < 2 * LONGEST + 200


def test_an_unknown_format_or_level_is_an_error():
    with pytest.raises(ConfigError, match="--log 'xml': expected text or json"):
        set_up_logs("xml", "info")
    with pytest.raises(ConfigError, match="--log-level 'loud': expected debug"):
        set_up_logs("json", "loud")


def test_frames_without_an_answer_have_few_lines_a_second(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "narrows")
    now_s = 0.0
    monkeypatch.setattr(ration, "monotonic", lambda: now_s)
    frames = FrameLog()
    for number in range(400):
        now_s = number // 200  # two seconds
        frames.note(
            "camera-7", 1, "", Frame(frame_id=number), refused(Status.MALFORMED, "not a packet")
        )
        frames.note(
            "camera-7", 1, "", Frame(frame_id=number), refused(Status.OVERLOADED, "slow down")
        )
    said = [r.fields["status"] for r in caplog.records]
    assert said.count("MALFORMED") == said.count("OVERLOADED") == 2 * LINES_PER_SECOND
    unsaid = [r.fields["unsaid"] for r in caplog.records if "unsaid" in r.fields]
    assert unsaid == [200 - LINES_PER_SECOND] * 2


def test_a_frame_is_named_and_its_payload_is_not(served, packets, caplog):
    caplog.set_level(logging.DEBUG, "narrows")
    broken = b"not a packet, but a secret"

    async def scenario(replica, stub):
        async def frames():
            yield Frame(frame_id=7, packet=packets[0])
            yield Frame(frame_id=8, bundle="tiny", packet=broken)

        return [result async for result in stub.Stream(frames())]

    assert len(served(scenario)) == 2
    told = {r.fields["frame_id"]: r for r in caplog.records if hasattr(r, "fields")}
    assert told[7].levelno == logging.DEBUG
    assert told[7].fields | {"device": ""} == {
        "device": "", "stream": 1, "frame_id": 7, "bundle": "tiny", "status": "OK",
    }  # fmt: skip
    assert told[8].levelno == logging.INFO
    assert told[8].fields["status"] == "MALFORMED"
    assert told[8].fields["bundle"] == "tiny"
    assert told[8].fields["device"].endswith("127.0.0.1")
    assert "secret" not in caplog.text
