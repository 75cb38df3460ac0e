// A bundle's integer tables in the forms that encoders and decoders look symbols up in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "coder/format.h"

namespace narrows {

// One symbol's share of the codepoints.
struct Interval {
  uint16_t frequency;
  uint16_t start;
};

// An interval as the scalar encoder wants it: floor(x / f) is x * reciprocal >> 46.
struct Push {
  uint64_t reciprocal;
  uint32_t limit;  // a state from here on emits a word first
  uint16_t rest;   // 2^14 - frequency
  uint16_t start;
};

// An interval as 32-bit lanes want it: floor(x / f) is (x + increment) * multiplier >> 32 + shift.
struct PackedPush {
  uint32_t interval;    // frequency << 18 | start << 4 | shift
  uint32_t multiplier;  // its top bit is always set, and holds the increment instead
};

// An interval for lanes that put the quotient above a sum modulo 2^14. The shift is bits(f) - 1.
struct ModularPush {
  uint32_t interval;  // increment << 31 | (start - increment) % 2^14 << 14 | frequency
  uint32_t multiplier;
};

// An interval as 32-bit lanes take it off, with the entry that it belongs to.
struct PackedPop {
  uint32_t frequency;
  uint32_t rest;  // -start << 16 | entry
};

// A channel's table in symbol order, the escape last.
struct Channel {
  int32_t offset;  // the smallest symbol
  int32_t length;  // symbols without the escape
  std::vector<Interval> intervals;
  std::vector<Push> pushes;
  std::vector<PackedPush> packed_pushes;
  std::vector<ModularPush> modular_pushes;
  std::vector<uint32_t> cost;  // ideal code length of each entry, in 2^-16 bits

  // The same again for tables in vector registers: apart, and filled up to a multiple of 64.
  std::vector<uint32_t> push_intervals, push_multipliers;
  std::vector<uint32_t> pop_intervals;  // start << 18 | frequency, then all ones
};

// What a decoder looks a codepoint up in.
struct ChannelDecoding {
  std::vector<uint8_t> entry;   // of every codepoint; empty where a table has over 256 entries
  std::vector<uint16_t> first;  // per 16 codepoints: the entry that holds the first of them
  std::vector<uint8_t> bucket;  // per 64 codepoints: the same, for tables in vector registers
  std::vector<PackedPop> packed_pops;  // in symbol order
};

class Tables {
 public:
  // Throws std::invalid_argument unless every cdf rises from 0 to 2^14 by at least 1, holds a
  // symbol beside the escape, and stays within int16: encode and decode rely on it for their
  // bounds.
  Tables(const int32_t* offsets, const int32_t* lengths, size_t channels, const uint16_t* cdf,
         size_t entries);

  const std::vector<Channel>& channels() const { return channels_; }

  // Made at the first call, from any thread: a device that only encodes never pays for it.
  const std::vector<ChannelDecoding>& decoding() const;

 private:
  std::vector<Channel> channels_;
  mutable std::once_flag once_;
  mutable std::vector<ChannelDecoding> decoding_;
};

}  // namespace narrows
