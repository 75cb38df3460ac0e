// Frames of symbols or latent to payloads: docs/bitstream.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "coder/rows.h"

namespace narrows {

// Valid until the next call of the encoder that made it.
struct Payload {
  const uint8_t* data;
  size_t size;
  int lanes, tail;
};

// Keeps its memory from frame to frame; one for every thread.
class Encoder {
 public:
  explicit Encoder(Isa isa) : kernels_(row_kernels(isa)) {}

  // Row r follows table r. `lanes`: a power of two to 64, or 0 to choose by the payload's size; it
  // falls to 1 where the frame is too small for more.
  Payload encode(const int16_t* symbols, Rows rows, const Tables& tables, int lanes);
  Payload encode(const float* latent, const Quantiser* quantisers, Rows rows, const Tables& tables,
                 int lanes);

  // Ideal code length in bits, escapes included. A sum of integers: the same on every machine.
  double cost_bits(const int16_t* symbols, Rows rows, const Tables& tables);

 private:
  uint16_t* entries_of(Rows rows, size_t row) {
    return entries_.data() + rows.symbols() - rows.starts[row + 1];
  }
  void clear(Rows rows);
  int lanes_for(Rows rows, const Tables& tables) const;
  Payload encode_entries(Rows rows, const Tables& tables, int lanes);
  Payload pack(const uint32_t* states, int lanes, const uint16_t* begin, const uint16_t* end,
               size_t tail);

  const RowKernels& kernels_;
  std::vector<uint16_t> entries_;  // of the whole frame, the last symbol's first
  std::vector<Escaped> escaped_;
  std::vector<uint16_t> words_;
  std::vector<uint8_t> payload_;
};

}  // namespace narrows
