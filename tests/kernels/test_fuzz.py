"""The decoder under libFuzzer with sanitisers: no bytes crash it, whatever decodes them.

20 seconds unless NARROWS_FUZZ_SECONDS says otherwise. From one corpus and seed, so that a run fails
for what was changed and not by chance; an hour with NARROWS_FUZZ_SEED=0, any, is for finding more.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from native import configured

pytestmark = pytest.mark.slow

CORPUS = Path(__file__).parent / "corpus"
SECONDS = int(os.environ.get("NARROWS_FUZZ_SECONDS", "20"))
SEED = os.environ.get("NARROWS_FUZZ_SEED", "1")


def has_libfuzzer(folder: Path) -> bool:
    source = folder / "probe.cc"
    source.write_text(
        "#include <cstdint>\n#include <cstddef>\n"
        'extern "C" int LLVMFuzzerTestOneInput(const uint8_t*, size_t) { return 0; }\n'
    )
    command = ["clang++", "-fsanitize=fuzzer,address", str(source), "-o", str(folder / "probe")]
    return (
        bool(shutil.which("clang++"))
        and not subprocess.run(command, capture_output=True).returncode
    )


@pytest.mark.timeout(SECONDS + 900)
def test_no_bytes_crash_any_decoder(tmp_path: Path) -> None:
    if not has_libfuzzer(tmp_path):
        pytest.skip("no clang++ with libFuzzer here")
    options = (
        "-DNARROWS_CHECKS=ON",
        "-DNARROWS_SANITISE=ON",
        "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
        "-DCMAKE_C_COMPILER=clang",
        "-DCMAKE_CXX_COMPILER=clang++",
    )
    fuzzer = configured(tmp_path / "build", "fuzz_decode", *options) / "fuzz_decode"
    found = tmp_path / "found"
    found.mkdir()
    done = subprocess.run(
        [
            str(fuzzer), f"-max_total_time={SECONDS}", f"-seed={SEED}", "-max_len=3000",
            str(found), str(CORPUS),
        ],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
