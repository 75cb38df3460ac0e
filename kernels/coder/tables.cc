#include "coder/tables.h"

#include <bit>
#include <cmath>
#include <stdexcept>

namespace narrows {
namespace {

constexpr double kCostScale = 1 << 16;  // units of Channel::cost in a bit
constexpr size_t kVectorTable = 64;     // entries a table in registers is filled up to

// The reciprocal is (2^46 + e) / f with 0 < e <= f, and x * e < 2^46; the product fits 64 bits
// because x < f * 2^18 once the state has emitted.
Push make_push(Interval symbol) {
  return {(uint64_t{1} << 46) / symbol.frequency + 1,
          uint32_t{symbol.frequency} << (32 - kPrecision),
          static_cast<uint16_t>(kTotal - symbol.frequency), symbol.start};
}

// floor(x / f) is (x + increment) * multiplier >> 32 + shift, for x < f * 2^18.
struct Division {
  uint32_t multiplier;  // its top bit is set
  uint32_t increment;
  uint32_t shift;
};

// Division by invariant integers (Granlund and Montgomery, 1994). With 2^shift <= f < 2^(shift + 1)
// the multiplier rounded up is exact if its excess e = multiplier * f - 2^(32 + shift) has
// e * x < 2^(32 + shift). Where it has not, rounding down and adding one to x is.
Division division_by(uint32_t f) {
  const uint32_t shift = std::bit_width(f) - 1;
  const uint64_t power = uint64_t{1} << (32 + shift);
  const uint64_t multiplier = (power + f - 1) / f;
  const uint64_t excess = multiplier * f - power;
  const uint64_t largest = (uint64_t{f} << 18) - 1;
  const bool exact = multiplier >> 32 == 0 && excess * largest < power;
  return {static_cast<uint32_t>(exact ? multiplier : (power - 1) / f), !exact, shift};
}

PackedPush make_packed_push(Interval symbol, Division by) {
  return {uint32_t{symbol.frequency} << 18 | uint32_t{symbol.start} << 4 | by.shift,
          (by.multiplier & 0x7FFFFFFF) | by.increment << 31};
}

ModularPush make_modular_push(Interval symbol, Division by) {
  const uint32_t start = (symbol.start - by.increment) % kTotal;
  return {by.increment << 31 | start << kPrecision | symbol.frequency, by.multiplier};
}

Channel make_channel(int32_t offset, int32_t length, const uint16_t* cdf) {
  if (offset < INT16_MIN || offset + length - 1 > INT16_MAX)
    throw std::invalid_argument("a table's symbols must lie within int16");
  if (cdf[0] != 0 || cdf[length + 1] != kTotal)
    throw std::invalid_argument("a cdf must run from 0 to 2^14");
  Channel channel{offset, length, {}, {}, {}, {}, {}, {}, {}, {}};
  for (int32_t entry = 0; entry <= length; ++entry) {
    if (cdf[entry + 1] <= cdf[entry]) throw std::invalid_argument("a cdf must rise by at least 1");
    const Interval interval{static_cast<uint16_t>(cdf[entry + 1] - cdf[entry]), cdf[entry]};
    channel.intervals.push_back(interval);
    channel.pushes.push_back(make_push(interval));
    const Division by = division_by(interval.frequency);
    const PackedPush packed = make_packed_push(interval, by);
    channel.packed_pushes.push_back(packed);
    channel.modular_pushes.push_back(make_modular_push(interval, by));
    channel.push_intervals.push_back(packed.interval);
    channel.push_multipliers.push_back(packed.multiplier);
    channel.pop_intervals.push_back(uint32_t{interval.start} << 18 | interval.frequency);
    const double bits = kPrecision - std::log2(static_cast<double>(interval.frequency));
    channel.cost.push_back(static_cast<uint32_t>(std::lround(bits * kCostScale)));
  }
  // Two past the last entry are looked up as well.
  const size_t filled = (length + 2 + kVectorTable) / kVectorTable * kVectorTable;
  channel.push_intervals.resize(filled);
  channel.push_multipliers.resize(filled);
  channel.pop_intervals.resize(filled, ~0u);
  return channel;
}

ChannelDecoding make_decoding(const Channel& channel) {
  ChannelDecoding decoding;
  const bool narrow = channel.intervals.size() <= 256;
  for (size_t entry = 0; entry < channel.intervals.size(); ++entry) {
    const Interval interval = channel.intervals[entry];
    const size_t end = interval.start + interval.frequency;
    decoding.packed_pops.push_back(
        {interval.frequency, (0u - interval.start) << 16 | static_cast<uint32_t>(entry)});
    while (decoding.first.size() * 16 < end) decoding.first.push_back(entry);
    if (!narrow) continue;
    decoding.entry.resize(end, static_cast<uint8_t>(entry));
    while (decoding.bucket.size() * 64 < end)
      decoding.bucket.push_back(static_cast<uint8_t>(entry));
  }
  if (narrow) decoding.entry.resize(kTotal + 3);  // codepoints are gathered by four bytes
  return decoding;
}

}  // namespace

Tables::Tables(const int32_t* offsets, const int32_t* lengths, size_t channels, const uint16_t* cdf,
               size_t entries) {
  size_t used = 0;
  for (size_t c = 0; c < channels; ++c) {
    if (lengths[c] < 1) throw std::invalid_argument("a table needs a symbol beside its escape");
    if (lengths[c] >= int32_t{kTotal} || used + lengths[c] + 2 > entries)
      throw std::invalid_argument("the lengths do not fit the cdf");
    channels_.push_back(make_channel(offsets[c], lengths[c], cdf + used));
    used += lengths[c] + 2;
  }
  if (used != entries) throw std::invalid_argument("the lengths do not fit the cdf");
}

const std::vector<ChannelDecoding>& Tables::decoding() const {
  std::call_once(once_, [this] {
    for (const Channel& channel : channels_) decoding_.push_back(make_decoding(channel));
  });
  return decoding_;
}

}  // namespace narrows
