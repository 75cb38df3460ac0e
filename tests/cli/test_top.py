"""`narrows serve --console` and `narrows top`, as processes."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="needs the server extra")
NARROWS = (sys.executable, "-m", "narrows")


def test_a_server_is_watched(tiny_bundle):
    command = [*NARROWS, "serve", str(tiny_bundle), "--port", "0", "--console", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            console = json.loads(server.stdout.readline())["console"]
            told = [*NARROWS, "top", console]
            seen = subprocess.run([*told, "--json"], capture_output=True, text=True, check=True)
            assert len(json.loads(seen.stdout)["replicas"]) == 1
            seen = subprocess.run([*told, "--once"], capture_output=True, text=True, check=True)
            assert "no frame yet" in seen.stdout
        finally:
            server.terminate()
        assert server.wait(120) == 0
    gone = subprocess.run([*told, "--once"], capture_output=True, text=True, check=False)
    assert gone.returncode == 2
    assert "narrows serve --console" in gone.stderr
