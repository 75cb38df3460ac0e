from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle directory with a small untrained network, real in every file."""
    pytest.importorskip("torch", reason="needs the server extra")
    from bundles import write_tiny_bundle

    path = tmp_path_factory.mktemp("bundles") / "tiny"
    write_tiny_bundle(path)
    return path
