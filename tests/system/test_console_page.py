"""The console as Debian's Chromium shows it, without a window, by its debugging protocol."""

import asyncio
import base64
import io
import itertools
import json
import re
import shutil
import subprocess
import sys

import aiohttp
import pytest
from PIL import Image
from serving import process

pytest.importorskip("torch", reason="needs the server extra")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed"),
]
FRAMES = 40
BROWSER = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
# By the second event the page is live and has drawn its history.
SEEN = "document.querySelector('#history polyline') ? document.documentElement.outerHTML : ''"
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


async def looked_at(page: str, port: str) -> tuple[str, bytes, int]:
    """The page as it is once live, a picture of it, and how wide it is on a phone."""
    async with aiohttp.ClientSession() as session:
        async with session.put(f"http://127.0.0.1:{port}/json/new?{page}") as response:
            address = (await response.json())["webSocketDebuggerUrl"]
        async with session.ws_connect(address, max_msg_size=1 << 26) as socket:
            numbers = itertools.count(1)

            async def tell(method: str, **parameters: object) -> dict:
                number = next(numbers)
                await socket.send_json({"id": number, "method": method, "params": parameters})
                while (answer := await socket.receive_json()).get("id") != number:
                    pass
                return answer["result"]

            seen = ""
            while not seen:
                seen = (await tell("Runtime.evaluate", expression=SEEN))["result"].get("value", "")
                await asyncio.sleep(0.05)
            picture = await tell("Page.captureScreenshot")
            await tell("Emulation.setDeviceMetricsOverride", **PHONE)
            width = await tell("Runtime.evaluate", expression="document.body.scrollWidth")
            return seen, base64.b64decode(picture["data"]), width["result"]["value"]


def test_the_page_shows_what_the_server_did(tiny_bundle, tmp_path):
    Image.new("RGB", (40, 32), "red").save(tmp_path / "red.png")
    serve = ("serve", str(tiny_bundle), "--port", "0", "--console", "0", "--json")
    chromium = [*BROWSER, "--remote-debugging-port=0", f"--user-data-dir={tmp_path / 'profile'}"]
    with (
        process(*serve) as server,
        subprocess.Popen(chromium, stderr=subprocess.PIPE, text=True) as browser,
    ):
        try:
            ready = json.loads(server.stdout.readline())
            device = [sys.executable, "-m", "narrows", "edge", "-", "--server", ready["address"]]
            subprocess.run(
                [*device, "--bundle", str(tiny_bundle), "--point", "all"], text=True, check=True,
                input=f"{tmp_path / 'red.png'}\n" * FRAMES, capture_output=True,
            )  # fmt: skip
            told = next(line for line in browser.stderr if "DevTools listening" in line)
            port = re.search(r":(\d+)/", told)[1]
            page, picture, phone_width = asyncio.run(looked_at(ready["console"], port))
        finally:
            browser.terminate()
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert ">live<" in page
    assert "tiny" in cells
    assert any("127.0.0.1" in cell for cell in cells)
    assert cells[cells.index("OK") + 1] == str(FRAMES)
    assert {"queue", "decode", "tail", "reply"} <= set(cells)
    assert page.count('class="bars"') == 4
    assert 'class="bar"' in page
    assert "circle" in page  # a point of the curve
    assert ">not measured<" in page
    assert 'id="federated" hidden' in page
    assert phone_width <= PHONE["width"]
    with Image.open(io.BytesIO(picture)) as shown:
        assert len(shown.convert("RGB").getcolors(1 << 20)) > 20  # not an empty page
