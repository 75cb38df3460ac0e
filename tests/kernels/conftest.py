"""What CMake builds of the kernels, once for all tests."""

import shutil
from pathlib import Path

import pytest
from native import configured


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the library, its C interface and example, and the checks of both."""
    if not shutil.which("cmake"):
        pytest.skip("no cmake")
    folder = tmp_path_factory.mktemp("library")
    return configured(folder, "all", "-DNARROWS_LIBRARY=ON", "-DNARROWS_CHECKS=ON")
