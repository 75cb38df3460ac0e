"""The live page over a real socket."""

import io
import urllib.request
from http.client import HTTPResponse

import numpy as np
import pytest
from PIL import Image

from narrows.edge.outcome import OK, Box, Label, Mask, Outcome
from narrows.edge.record import FrameRecord
from narrows.edge.show import LivePage, drawn
from narrows.errors import ConfigError

PHOTOGRAPH = Image.new("RGB", (64, 48), (80, 80, 80))


def record(number: int, status: str = OK, image: Image.Image | None = PHOTOGRAPH) -> FrameRecord:
    outcome = Outcome(
        number, status,
        labels=(Label(0, "cat", 0.9),),
        boxes=(Box(0, "cat", 0.8, (10.0, 10.0, 40.0, 30.0)),),
        mask=Mask(np.ones((48, 64), np.uint8), ("background", "cat"), None),
    )  # fmt: skip
    return FrameRecord(f"{number}.png", None, None, 0, outcome, {}, image)


def next_frame(stream: HTTPResponse) -> Image.Image:
    length = 0
    while (line := stream.readline()) != b"\r\n" or not length:
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return Image.open(io.BytesIO(stream.read(length)))


def test_the_page_shows_every_watcher_the_newest_answer():
    with LivePage(0) as page:
        root = f"http://127.0.0.1:{page.port}"
        with urllib.request.urlopen(f"{root}/", timeout=60) as response:
            assert b"/live" in response.read()
        page.show(record(1))
        streams = [urllib.request.urlopen(f"{root}/live", timeout=60) for _ in range(2)]
        for stream in streams:
            assert next_frame(stream).size == PHOTOGRAPH.size
        page.show(record(2))
        for stream in streams:
            assert next_frame(stream).format == "JPEG"
            stream.close()
        page.show(record(3))  # nobody looks
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{root}/other", timeout=60)


def test_frames_without_an_answer_or_a_picture_are_not_shown():
    with LivePage(0) as page:
        page.show(record(1, status="DEADLINE"))
        page.show(record(2, image=None))
        page.show(record(3))
        with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/live", timeout=60) as stream:
            assert next_frame(stream).size == PHOTOGRAPH.size
        assert page._number == 1


def test_a_taken_port_is_a_users_error():
    with LivePage(0) as page, pytest.raises(ConfigError, match="choose another port"):
        LivePage(page.port)


def test_label_boxes_and_mask_are_all_drawn():
    picture = np.asarray(drawn(PHOTOGRAPH, record(1)))
    assert (picture != 80).any(2).mean() > 0.9  # the mask covers all of it
