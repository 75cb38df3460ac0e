// Lane 0 alone: escaped values and the tail. Every thread computes it alike, thread 0 writes.
#pragma once

#include "cuda/views.h"

namespace narrows::cuda {

// Words go upwards, in the reverse of the order the decoder reads them.
template <typename Warp>
class SerialEncoder {
 public:
  NARROWS_DEVICE SerialEncoder(Warp warp, uint16_t* words, uint32_t capacity)
      : warp_(warp), words_(words), capacity_(capacity) {}

  NARROWS_DEVICE void restart() {
    count_ = 0;
    state_ = 1;
  }
  NARROWS_DEVICE uint32_t count() const { return count_; }
  NARROWS_DEVICE uint32_t state() const { return state_; }

  NARROWS_DEVICE void push(PackedPush symbol) {
    if (emits(state_, symbol)) {
      write(state_);
      state_ >>= 16;
    }
    state_ = pushed(state_, symbol);
  }

  NARROWS_DEVICE void push_escape(int32_t symbol, TableRow table) {
    const int32_t high = table.offset + static_cast<int32_t>(table.length);
    const bool below = symbol < table.offset;
    const uint32_t distance = below ? table.offset - symbol : symbol - high + 1;
    const uint32_t bits = highest_bit(distance), mantissa = distance - (1u << bits);
    if (bits > 8) push_bits(mantissa & 0xFF, 8);
    push_bits(bits > 8 ? mantissa >> 8 : mantissa, bits > 8 ? bits - 8 : bits);
    push_bits(below, 1);
    push_bits(bits, 5);
  }

 private:
  NARROWS_DEVICE void write(uint32_t word) {
    if (warp_.lane() == 0 && count_ < capacity_) words_[count_] = static_cast<uint16_t>(word);
    ++count_;
  }

  NARROWS_DEVICE void push_bits(uint32_t number, uint32_t width) {
    if (!width) return;
    const uint32_t interval = bits_interval(number, width), shift = kPrecision - width;
    if (state_ >= 1u << (shift + 18)) {
      write(state_);
      state_ >>= 16;
    }
    const uint32_t remainder = state_ & ((1u << shift) - 1);
    state_ = (state_ >> shift << kPrecision) + remainder + start_of(interval);
  }

  Warp warp_;
  uint16_t* words_;
  uint32_t capacity_;  // beyond it words are counted only
  uint32_t count_ = 0;
  uint32_t state_ = 1;
};

}  // namespace narrows::cuda
