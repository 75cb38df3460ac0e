// The exact product of two matrices modulo 2^31 - 1 or 2^61 - 1 on an NVIDIA GPU.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace narrows::cuda {

// left (rows, depth) by right (depth, columns) into out (rows, columns), all on the current GPU and
// row after row, modulo 2^bits - 1 for `bits` 31 or 61. Enqueues and returns. *device_wrong becomes
// 1 where an entry is not below the prime, and the product means nothing; else it stays. Throws
// std::invalid_argument for more than 4 million rows, std::runtime_error for a failed launch.
void field_matmul(const uint64_t* device_left, const uint64_t* device_right, size_t rows,
                  size_t depth, size_t columns, int bits, uint64_t* device_out,
                  uint32_t* device_wrong, cudaStream_t stream);

}  // namespace narrows::cuda
