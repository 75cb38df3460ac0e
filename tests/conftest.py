import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No example is timed: a busy machine is no fault. `.ci/run` draws the same examples each time.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("patient", PATIENT)
settings.register_profile("landing", PATIENT, derandomize=True)
settings.load_profile("patient")

# oneDNN's AVX-512 kernels in torch 2.15 write beyond their buffers in the backward pass of some
# small convolutions (a few pictures of 96 pixels; 2x2 or strided kernels) and corrupt the heap; its
# AVX2 kernels do not. Read when torch is loaded, so it stands before any import of it.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle directory with a small untrained network, real in every file.

    A board has no torch to make one: NARROWS_TINY_BUNDLE is the folder of one made elsewhere.
    """
    if carried := os.environ.get("NARROWS_TINY_BUNDLE"):
        return Path(carried)
    pytest.importorskip("torch", reason="needs the server extra")
    from bundles import write_tiny_bundle

    path = tmp_path_factory.mktemp("bundles") / "tiny"
    write_tiny_bundle(path)
    return path
