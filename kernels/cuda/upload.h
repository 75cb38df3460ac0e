// Tables and weights on their way to a GPU, in one piece.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace narrows::cuda {

inline void require(cudaError_t status, const char* what) {
  if (status != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

// Pieces of one allocation, each aligned to 16 bytes.
class Upload {
 public:
  template <typename T>
  size_t add(const std::vector<T>& values) {
    const size_t at = bytes_.size();
    bytes_.resize((at + values.size() * sizeof(T) + 15) / 16 * 16);
    std::memcpy(bytes_.data() + at, values.data(), values.size() * sizeof(T));
    return at;
  }
  uint8_t* copied() const {
    void* to = nullptr;
    require(cudaMalloc(&to, bytes_.size()), "memory for tables");
    const cudaError_t status = cudaMemcpy(to, bytes_.data(), bytes_.size(), cudaMemcpyHostToDevice);
    if (status != cudaSuccess) cudaFree(to);
    require(status, "copying tables");
    return static_cast<uint8_t*>(to);
  }

 private:
  std::vector<uint8_t> bytes_;
};

template <typename T>
const T* at(const uint8_t* base, size_t offset) {
  return reinterpret_cast<const T*>(base + offset);
}

}  // namespace narrows::cuda
