import filecmp
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_committed_stubs_are_what_the_proto_files_generate(tmp_path, monkeypatch):
    pytest.importorskip("grpc_tools", reason="the generator is in the dev extra")
    monkeypatch.setenv("PYTHON", sys.executable)
    subprocess.run([ROOT / "protos" / "generate", str(tmp_path)], check=True)
    fresh = sorted((tmp_path / "narrows/protos/narrows/v1").iterdir())
    assert len(fresh) == 3 * len(list((ROOT / "protos/narrows/v1").glob("*.proto")))
    for stub in fresh:
        committed = ROOT / "protos/narrows/v1" / stub.name
        assert filecmp.cmp(stub, committed, shallow=False), f"{stub.name}: run protos/generate"
