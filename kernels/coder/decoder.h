// Payloads back to symbols or latent, whatever the bytes: docs/bitstream.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "coder/rows.h"

namespace narrows {

// Bytes from anywhere, and what their header says of them.
struct Coded {
  const uint8_t* data;
  size_t size;
  int lanes, tail;
};

// Keeps its memory from frame to frame; one for every thread.
class Decoder {
 public:
  explicit Decoder(Isa isa) : kernels_(row_kernels(isa)) {}

  // Fills out[i] (rows.symbols() of them) from coded[i], and errors[i] with why the payload is
  // impossible (its output is then zeros) or nothing. Reads nothing beyond `size` bytes and
  // allocates no more than a few indices per symbol, whatever the bytes. Neighbours that fit
  // together are decoded side by side.
  void decode(std::span<const Coded> coded, Rows rows, const Tables& tables, int16_t* const* out,
              std::string* errors);
  void decode(std::span<const Coded> coded, const Dequantiser* dequantisers, Rows rows,
              const Tables& tables, float* const* out, std::string* errors);

 private:
  template <typename Output>
  void decode_all(std::span<const Coded> coded, Rows rows, const Tables& tables,
                  const Output& output, std::string* errors);
  template <typename Output>
  void decode_pair(std::span<const Coded> coded, Rows rows, const Tables& tables,
                   const Output& output, size_t first, std::string* errors);
  template <typename Packets>
  void decode_row(Packets& packets, size_t row);

  const RowKernels& kernels_;
  std::vector<uint16_t> entries_[2];  // of a row
  std::vector<size_t> escapes_[2];
};

}  // namespace narrows
