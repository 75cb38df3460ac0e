// Lane 0 alone: the tail and the escaped values. Every thread computes it alike.
#pragma once

#include "cuda/views.h"

namespace narrows::cuda {

// A row's table to look slots up in.
class Lookup {
 public:
  NARROWS_DEVICE Lookup(const TableView& tables, uint32_t row, TableRow table)
      : finds_(pinned(tables.finds + row * kFinds)), pops_(pinned(tables.pops + table.begin)) {}

  // The entry whose interval holds the slot; `interval` becomes its interval.
  NARROWS_DEVICE uint32_t find(uint32_t slot, uint32_t& interval) const {
    uint32_t entry = load_table(finds_ + (slot >> 4));
    interval = load_table(pops_ + entry);
    while (slot - start_of(interval) >= frequency_of(interval))
      interval = load_table(pops_ + ++entry);
    return entry;
  }

 private:
  const uint16_t* finds_;
  const uint32_t* pops_;
};

// Words are the stream's rest, then those parked in the other lanes. Where none is left the state
// has come down to where the encoder began, below L.
template <typename Warp>
class SerialDecoder {
 public:
  NARROWS_DEVICE SerialDecoder(Warp warp, const uint16_t* words, uint32_t next, uint32_t end,
                               const uint32_t* states, uint32_t lanes)
      : warp_(warp),
        words_(words),
        next_(next),
        end_(end),
        states_{states[0], states[1]},
        state_(warp.shuffle(states[0], 0)),
        parked_(lanes - 1) {}

  NARROWS_DEVICE uint32_t take(const Lookup& lookup) {
    uint32_t interval;
    const uint32_t entry = lookup.find(state_ & (kTotal - 1), interval);
    state_ = popped(state_, interval);
    refill();
    return entry;
  }

  // Whether it lies within int16.
  NARROWS_DEVICE bool take_escape(TableRow table, int32_t& symbol) {
    const uint32_t bits = take_bits(5), below = take_bits(1);
    if (bits > 16) return false;
    uint32_t mantissa = take_bits(bits > 8 ? bits - 8 : bits);
    if (bits > 8) mantissa = mantissa << 8 | take_bits(8);
    const auto distance = static_cast<int32_t>((1u << bits) + mantissa);
    const int32_t high = table.offset + static_cast<int32_t>(table.length);
    symbol = below ? table.offset - distance : high + distance - 1;
    return symbol >= INT16_MIN && symbol <= INT16_MAX;
  }

  NARROWS_DEVICE bool at_end() const { return state_ == 1 && next_ == end_ && !parked_; }

 private:
  NARROWS_DEVICE uint32_t take_bits(uint32_t width) {
    if (!width) return 0;
    const uint32_t number = (state_ & (kTotal - 1)) >> (kPrecision - width);
    state_ = popped(state_, bits_interval(number, width));
    refill();
    return number;
  }

  NARROWS_DEVICE void refill() {
    if (state_ >= kLower) return;
    if (next_ != end_) {
      state_ = state_ << 16 | load_table(words_ + next_++);
    } else if (parked_) {
      const uint32_t state =
          warp_.shuffle(parked_ < kWarp ? states_[0] : states_[1], parked_ % kWarp);
      state_ = state_ << 16 | (state - kLower);
      --parked_;
    }
  }

  Warp warp_;
  const uint16_t* words_;
  uint32_t next_, end_;
  uint32_t states_[2];  // of this thread's lanes
  uint32_t state_;      // of lane 0
  uint32_t parked_;     // words left in the lanes 1 to parked_
};

}  // namespace narrows::cuda
