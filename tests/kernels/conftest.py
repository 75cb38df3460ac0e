"""What CMake builds of the kernels, once for all tests."""

import shutil
from pathlib import Path

import pytest
from native import ARM, configured


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the library, its C interface, narrows-encode, and the checks of all."""
    if not shutil.which("cmake"):
        pytest.skip("no cmake")
    folder = tmp_path_factory.mktemp("library")
    return configured(folder, "all", "-DNARROWS_LIBRARY=ON", "-DNARROWS_CHECKS=ON")


@pytest.fixture(scope="session")
def sanitised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `properties` and narrows-encode under AddressSanitizer and UBSan."""
    return programs(
        tmp_path_factory.mktemp("sanitised"),
        "-DNARROWS_SANITISE=ON",
        "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
    )


@pytest.fixture(scope="session")
def for_arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `properties` and narrows-encode for aarch64."""
    return programs(
        tmp_path_factory.mktemp("arm"),
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_C_COMPILER={ARM}gcc",
        f"-DCMAKE_CXX_COMPILER={ARM}g++",
        "-DCMAKE_EXE_LINKER_FLAGS=-static",
    )


def programs(folder: Path, *options: str) -> Path:
    for target in ("properties", "narrows-encode"):
        configured(folder, target, "-DNARROWS_LIBRARY=ON", "-DNARROWS_CHECKS=ON", *options)
    return folder
