"""`narrows` in this process: what it says and its exit code, without loading torch and Ray anew."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest.mock import patch

from narrows.cli import main


def narrows(*arguments: str) -> CompletedProcess[str]:
    """The command line as its process would run it."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with patch.object(sys, "argv", ["narrows", *arguments]):
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
    return CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
