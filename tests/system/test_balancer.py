"""Two servers behind Debian's HAProxy, by the configuration that ships; one is killed."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path
from time import monotonic_ns

import numpy as np
import pytest
from serving import serving

pytest.importorskip("torch", reason="needs the server extra")

from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest
from narrows.edge.link import LinkSettings
from narrows.edge.payload import Payload
from narrows.edge.session import Session
from narrows.security.authority import Authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed"),
]
SHIPPED = Path(__file__).parents[2] / "server" / "deploy" / "haproxy.cfg"


def test_a_killed_server_behind_a_balancer_loses_no_frame(tiny_bundle, tmp_path):
    authority = Authority.create(tmp_path / "ca")
    authority.serve("here", ["127.0.0.1"], tmp_path / "server")
    authority.enroll("camera", tmp_path / "camera")
    codec = load_frame_codec(tiny_bundle, Manifest.load(tiny_bundle))
    rng = np.random.default_rng(0)
    packet = codec.encode(rng.normal(0, 1, (codec.channels, 4, 4)).astype(np.float32), 0)
    tls = ("--tls", str(tmp_path / "server"))
    settings = LinkSettings(window=4, deadline_ms=60_000, tls=tmp_path / "camera")
    with (
        socket.create_server(("127.0.0.1", 0)) as door,  # HAProxy takes it over as it is
        serving(tiny_bundle, *tls, ends=None) as one,
        serving(tiny_bundle, *tls, ends=None) as two,
    ):
        port = door.getsockname()[1]
        text = SHIPPED.read_text().replace("0.0.0.0:50051", f"fd@{door.fileno()}")
        text = text.replace("192.0.2.11:50051", one[1]).replace("192.0.2.12:50051", two[1])
        config = tmp_path / "haproxy.cfg"
        config.write_text(text)
        command = ["haproxy", "-f", str(config)]
        with subprocess.Popen(command, pass_fds=[door.fileno()]) as balancer:
            try:

                async def scenario():
                    async with (
                        Session(f"127.0.0.1:{port}", settings) as first,
                        Session(f"127.0.0.1:{port}", settings) as second,
                    ):
                        outcomes = []
                        for number in range(300):
                            for session in (first, second):
                                await session.room()
                                payload = Payload("packet", packet, 32, 32, monotonic_ns(), 0, 0, 0)
                                outcomes.append(session.send(payload))
                            if number == 100:
                                serves = (await outcomes[0]).answered_by.split("/")[1]
                                os.kill(int(serves), signal.SIGKILL)
                        return [await outcome for outcome in outcomes]

                outcomes = asyncio.run(asyncio.wait_for(scenario(), 250))
            finally:
                balancer.terminate()
    assert Counter(o.status for o in outcomes) == {"OK": 600}
    by = Counter(o.answered_by for o in outcomes)
    assert len(by) == 2
    assert min(by.values()) >= 50
