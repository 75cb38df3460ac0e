// The constants of the bitstream: docs/bitstream.md.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace narrows {

constexpr uint32_t kPrecision = 14;  // bits of a probability
constexpr uint32_t kTotal = 1u << kPrecision;
constexpr uint32_t kLower = 1u << 16;  // L: between symbols a lane's state is at least this
constexpr int kMaxLanes = 64;
constexpr size_t kMaxTail = 0xFFFF;
constexpr float kSymbolLimit = 0x7FFF;  // quantised symbols lie within +-this

// A row is one channel's symbols in scan order. Row r is [starts[r], starts[r + 1]) of the frame.
struct Rows {
  const size_t* starts;
  size_t count;
  size_t symbols() const { return starts[count]; }
};

// The row that holds the frame's symbol `index`; rows.count for one beyond the last.
inline size_t row_of(Rows rows, size_t index) {
  return std::upper_bound(rows.starts, rows.starts + rows.count + 1, index) - rows.starts - 1;
}

}  // namespace narrows
