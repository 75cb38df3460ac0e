"""A page on this machine with the frames as they are answered: Motion JPEG, no script."""

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image, ImageOps

from narrows.edge.record import FrameRecord
from narrows.errors import ConfigError
from narrows.images.drawing import draw

BOUNDARY = "frame"
PAGE = b"""<!doctype html><title>narrows</title>
<style>body{margin:0;background:#111;display:grid;place-items:center;height:100vh}
img{max-width:100vw;max-height:100vh}</style><img src="/live" alt="live">"""


class LivePage:
    """`with LivePage(8080) as page: page.show(record)`; the newest frame is what is seen."""

    def __init__(self, port: int):
        """Listen on loopback; 0 chooses a port. Raises ConfigError where it is taken."""
        self._jpeg, self._number = b"", 0
        self._changed = threading.Condition()
        self._closed = False
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass  # a device's console is for its frames

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise ConfigError(f"--show {port}: {error.strerror}: choose another port") from None
        self._server.daemon_threads = True
        self.port = self._server.server_port

    def __enter__(self) -> "LivePage":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def show(self, record: FrameRecord) -> None:
        """Draw an answer into its picture; one without a picture or an answer changes nothing."""
        if record.image is None or not record.outcome.ok:
            return
        file = io.BytesIO()
        drawn(record.image, record).save(file, "jpeg", quality=85)
        with self._changed:
            self._jpeg, self._number = file.getvalue(), self._number + 1
            self._changed.notify_all()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path == "/":
            request.send_response(200)
            request.send_header("Content-Type", "text/html")
            request.end_headers()
            request.wfile.write(PAGE)
        elif request.path == "/live":
            self._stream(request)
        else:
            request.send_error(404)

    def _stream(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        request.end_headers()
        number = 0
        while (newer := self._after(number)) is not None:
            jpeg, number = newer
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
            try:
                request.wfile.write(head.encode() + b"\r\n\r\n" + jpeg + b"\r\n")
            except OSError:
                return  # nobody looks any more

    def _after(self, number: int) -> tuple[bytes, int] | None:
        """Wait for a frame later than that; None once the page is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._number > number)
            return None if self._closed else (self._jpeg, self._number)


def drawn(image: Image.Image, record: FrameRecord) -> Image.Image:
    """A frame's answers in its picture, upright."""
    outcome = record.outcome
    upright = ImageOps.exif_transpose(image)
    best = outcome.labels[0] if outcome.labels else None
    return draw(
        upright,
        "" if best is None else f"{best.name} {best.probability:.0%}",
        [(box.name, box.score, box.corners) for box in outcome.boxes or () if box.sure],
        None if outcome.mask is None else outcome.mask.whole(),
        () if outcome.mask is None else outcome.mask.names,
    )
