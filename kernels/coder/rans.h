// Interleaved range asymmetric numeral systems (Duda, arXiv:1311.2540; Giesen, arXiv:1402.3392)
// with static integer tables. Format: docs/bitstream.md; the same in Python: reference.py.
//
// Symbols are pushed in reverse, so that they pop in order. 32-bit states in [2^16, 2^32), 16-bit
// words, 14-bit probabilities: a step emits or reads one word at most, and loses 0.03 % in all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace narrows {

constexpr uint32_t kPrecision = 14;
constexpr uint32_t kTotal = 1u << kPrecision;
constexpr uint32_t kLower = 1u << 16;  // L: between symbols a lane's state is at least this
constexpr int kMaxLanes = 64;
constexpr size_t kMaxTail = 0xFFFF;

// One symbol's share of the codepoints.
struct Interval {
  uint16_t frequency;
  uint16_t start;
};

// An interval as the encoder wants it: dividing is multiplying by `reciprocal` and dropping 46
// bits.
struct Push {
  uint64_t reciprocal;
  uint32_t limit;  // a state from here on emits a word first
  uint16_t rest;   // 2^14 - frequency
  uint16_t start;
};

// A channel's table in symbol order, the escape last.
struct Channel {
  int32_t offset;  // the smallest symbol
  int32_t length;  // symbols without the escape
  std::vector<Interval> intervals;
  std::vector<Push> pushes;
  std::vector<uint16_t> first;  // per 16 codepoints: the symbol that holds the first of them
  std::vector<uint32_t> cost;   // ideal code length of each entry, in 2^-16 bits
};

class Tables {
 public:
  // Throws std::invalid_argument unless every cdf rises from 0 to 2^14 by at least 1, holds a
  // symbol beside the escape, and stays within int16: encode and decode rely on it for their
  // bounds.
  Tables(const int32_t* offsets, const int32_t* lengths, size_t channels, const uint16_t* cdf,
         size_t entries);

  const std::vector<Channel>& channels() const { return channels_; }

 private:
  std::vector<Channel> channels_;
};

struct Encoded {
  std::vector<uint8_t> payload;
  int lanes;
  int tail;
};

// symbols: channels x area, channel by channel. Lanes fall to 1 where the frame is too small for
// more.
Encoded encode(const int16_t* symbols, size_t area, const Tables& tables, int lanes);

// Fills `symbols` (channels x area). Returns why the payload is impossible, or an empty string;
// reads nothing beyond `size` bytes and allocates no more than one index per symbol, whatever the
// bytes.
std::string decode(const uint8_t* payload, size_t size, size_t area, const Tables& tables,
                   int lanes, int tail, int16_t* symbols);

// Ideal code length in bits, escapes included. A sum of integers: the same on every machine.
double cost_bits(const int16_t* symbols, size_t area, const Tables& tables);

}  // namespace narrows
