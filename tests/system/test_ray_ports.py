"""Ray's own ports: whoever reaches them without the server's token gets nothing."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from http.client import HTTPException

import psutil
import pytest

pytest.importorskip("ray", reason="needs the server extra")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

INTRUDER = """
import sys, ray
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
print("inside", ray.get(ray.remote(lambda: 42).remote()))
"""

JOB = b'{"entrypoint": "true"}'
QUESTIONS = (("/api/jobs/", None), ("/api/job_agent/jobs/", JOB), ("/logs", None))


def listening(processes: list[psutil.Process]) -> dict[tuple[str, int], str]:
    found = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # some of Ray's live for a moment
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    host, port = connection.laddr.ip, connection.laddr.port
                    host = "127.0.0.1" if ":" in host or host == "0.0.0.0" else host
                    found[host, port] = process.name()
    return found


@pytest.mark.parametrize("token", [None, "0" * 64], ids=["no token", "another token"])
def test_ray_lets_nobody_in_without_the_token(tiny_bundle, token):
    command = [sys.executable, "-m", "narrows", "serve", str(tiny_bundle), "--executor", "ray"]
    with subprocess.Popen([*command, "--port", "0", "--json"], stdout=subprocess.PIPE) as server:
        try:
            json.loads(server.stdout.readline())
            ports = listening(psutil.Process(server.pid).children(recursive=True))
            (gcs,) = (port for (_, port), name in ports.items() if name == "gcs_server")
            clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")}
            if token is not None:
                clean |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
            intruder = subprocess.run(
                [sys.executable, "-c", INTRUDER, f"127.0.0.1:{gcs}"],
                env=clean, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert intruder.returncode != 0
            assert "inside" not in intruder.stdout
            assert "auth" in intruder.stderr.lower()
            for (host, port), name in ports.items():
                if "gent" not in name:
                    continue  # gRPC, where the token is asked for as above
                for path, data in (
                    ("/api/jobs/", None),
                    ("/api/job_agent/jobs/", JOB),
                    ("/logs", None),
                ):
                    told, body = asked(f"http://{host}:{port}{path}", data)
                    counters = body.startswith(
                        b"# HELP"
                    )  # of its own process: nothing else is told
                    assert counters or told in (None, 401, 403, 404, 405), (name, path)
        finally:
            server.terminate()


def asked(address: str, data: bytes | None) -> tuple[int | None, bytes]:
    """An HTTP answer; None where no HTTP is spoken."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data), timeout=10) as response:
            return response.status, response.read(100)
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, HTTPException):
        return None, b""
