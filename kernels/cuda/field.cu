#include <stdexcept>

#include "cuda/field.cuh"
#include "cuda/field.h"

namespace narrows::cuda {
namespace {

constexpr size_t kMostTilesDown = 65535;  // blocks of a grid along y

template <int Bits>
__global__ void __launch_bounds__(kThreads* kThreads)
    product(Factors factors, uint64_t* out, uint32_t* wrong) {
  __shared__ Loaded loaded;
  const size_t row = size_t{blockIdx.y} * kSide, column = size_t{blockIdx.x} * kSide;
  Sum<Bits> sums[kEach][kEach];
  uint64_t seen = 0;
  for (size_t l = 0; l < factors.depth; l += kDeep) {
    load<Bits>(loaded, factors, row, column, l, threadIdx.x, seen);
    __syncthreads();
    multiply<Bits>(loaded, threadIdx.x, sums);
    __syncthreads();
  }
  store<Bits>(sums, factors, row, column, threadIdx.x, out);
  if (seen >> Bits) *wrong = 1;  // whoever writes it writes the same
}

}  // namespace

void field_matmul(const uint64_t* device_left, const uint64_t* device_right, size_t rows,
                  size_t depth, size_t columns, int bits, uint64_t* device_out,
                  uint32_t* device_wrong, cudaStream_t stream) {
  if (!rows || !columns) return;
  const size_t down = (rows + kSide - 1) / kSide, across = (columns + kSide - 1) / kSide;
  if (down > kMostTilesDown || across > INT32_MAX)
    throw std::invalid_argument("more rows or columns than a grid has blocks for");
  const Factors factors{device_left, device_right, rows, depth, columns};
  const dim3 grid(static_cast<uint32_t>(across), static_cast<uint32_t>(down));
  const auto kernel = bits == 31 ? product<31> : product<61>;
  kernel<<<grid, kThreads * kThreads, 0, stream>>>(factors, device_out, device_wrong);
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

}  // namespace narrows::cuda
