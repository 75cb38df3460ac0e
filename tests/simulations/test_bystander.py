"""The bystander sees that its own process is held up."""

import signal
import subprocess
import sys

import pytest

from narrows.simulations.planning.bystander import Bystander


def test_a_stopped_process_is_late():
    code = (
        "import sys\n"
        "from narrows.simulations.planning.bystander import Bystander\n"
        "with Bystander() as bystander:\n"
        "    while not bystander.late_ms(100): pass\n"
        "    print('ready', flush=True); sys.stdin.readline()\n"
        "print(bystander.late_ms(100))\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGCONT)
        told, _ = process.communicate("go on\n")
    assert float(told) > 200


def test_one_that_never_slept_is_not_late():
    assert Bystander().late_ms(99) == 0.0
