"""`narrows` as a process of its own."""

import contextlib
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.request import urlopen

PATIENCE_S = 300.0  # a replica that comes back loads torch, on a busy machine slowly
PATIENT = ("--deadline-ms", "100000", "--json")  # of `edge`: the machine may be busy


@contextmanager
def serving(bundle, *options, ends=0):
    """A server's process and address; `ends`: its exit status, None where it is killed."""
    command = [sys.executable, "-m", "narrows", "serve", str(bundle), "--port", "0", "--json"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.pid, json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()
        assert ends is None or process.wait(PATIENCE_S) == ends


@contextmanager
def process(*arguments, **options):
    """`narrows ARGUMENTS`, ended by SIGTERM."""
    command, pipe = [sys.executable, "-m", "narrows", *arguments], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, **options) as started:
        try:
            yield started
        finally:
            started.terminate()


def replicas_of(console: str, without: int) -> set[int]:
    """The processes that serve, once there are two without that one."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < PATIENCE_S:
        with contextlib.suppress(OSError), urlopen(f"{console}figures.json", timeout=10) as page:
            names = [replica["name"] for replica in json.load(page)["replicas"]]
            pids = {int(name.split("/")[1]) for name in names}
            if len(pids) == 2 and without not in pids:
                return pids
        time.sleep(0.1)
    raise AssertionError("no other replica came")
