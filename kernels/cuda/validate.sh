#!/usr/bin/env bash
# On a machine with an NVIDIA GPU and CUDA's toolkit: build, test, look for invalid accesses and
# races, measure. From the repository's root; prints a markdown table last. Takes a build folder and
# the Python to test with (with narrows' own requirements, nanobind, pytest, hypothesis and torch).
set -euo pipefail
build=${1:-build/cuda}
python=${2:-python3}

"$python" -c 'import nanobind, numpy, pytest, torch'
command -v nvcc compute-sanitizer >/dev/null
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader

cmake -S . -B "$build" -DNARROWS_CUDA=ON -DPython_EXECUTABLE="$(command -v "$python")" \
  -Dnanobind_DIR="$("$python" -m nanobind --cmake_dir)"
cmake --build "$build" -j --target _native _cuda cuda_bench
cp "$build"/_native*.so kernels/
cp "$build"/_cuda*.so kernels/cuda/

export PYTHONPATH=src
test_cuda=("$python" -m pytest tests/kernels/test_cuda.py -q -o timeout=0)
"$python" -c 'from narrows.kernels import cuda; assert cuda.available(), "no GPU"'
"${test_cuda[@]}"
for tool in memcheck racecheck; do
  compute-sanitizer --tool "$tool" --error-exitcode 1 --target-processes all \
    "${test_cuda[@]}" -k the_gpu
done
"$build"/cuda_bench
# The head: where it would run, and both medians.
"$python" -m narrows device doctor --bundle models/zoo/classify
