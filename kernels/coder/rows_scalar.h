// The loops over a row one symbol at a time: the reference for the vector ones, and their
// remainders. Lanes are a template argument, so that their independent states overlap in the
// processor. All of it is static: every instruction set compiles its own.
#pragma once

#include <bit>
#include <cstring>

#include "coder/rows.h"
#include "coder/step.h"

namespace narrows {
namespace {

// Adding 1.5 * 2^23 leaves the nearest integer, ties to even, in a float's low bits.
inline int32_t rounded(float value) {
  return std::bit_cast<int32_t>(value + 12582912.0f) - std::bit_cast<int32_t>(12582912.0f);
}

inline int16_t quantised(float value, Quantiser quantiser) {
  value *= quantiser.gain;
  value -= quantiser.median;
  value = value > -kSymbolLimit ? value : -kSymbolLimit;  // also where it is not a number
  value = value < kSymbolLimit ? value : kSymbolLimit;
  return static_cast<int16_t>(rounded(value));
}

inline uint16_t entry_of(int16_t symbol, const Channel& channel, std::vector<Escaped>& escaped,
                         size_t index) {
  const int32_t entry = symbol - channel.offset;
  if (static_cast<uint32_t>(entry) < static_cast<uint32_t>(channel.length))
    return static_cast<uint16_t>(entry);
  append(escaped, index, symbol);
  return static_cast<uint16_t>(channel.length);
}

// Symbols [begin, count) of a row.
inline void entries_of_symbols_scalar(const int16_t* symbols, size_t begin, size_t count,
                                      const Channel& channel, uint16_t* entries,
                                      std::vector<Escaped>& escaped, size_t first) {
  for (size_t i = begin; i < count; ++i)
    entries[count - 1 - i] = entry_of(symbols[i], channel, escaped, first + i);
}

inline void entries_of_latent_scalar(const float* latent, size_t begin, size_t count,
                                     Quantiser quantiser, const Channel& channel, uint16_t* entries,
                                     std::vector<Escaped>& escaped, size_t first) {
  for (size_t i = begin; i < count; ++i)
    entries[count - 1 - i] = entry_of(quantised(latent[i], quantiser), channel, escaped, first + i);
}

// The first `count` entries, which belong to the last `count` lanes of `states`.
inline uint16_t* encode_remainder(const uint16_t* entries, size_t count, const Channel& channel,
                                  int lanes, uint32_t* states, uint16_t* words) {
  for (size_t k = 0; k < count; ++k) {
    uint32_t& state = states[lanes - count + k];
    state = push(state, channel.pushes.data()[entries[k]], words);
  }
  return words;
}

template <int Lanes>
uint16_t* encode_lanes(const uint16_t* entries, size_t count, const Channel& channel,
                       uint32_t* states, uint16_t* words) {
  const size_t remainder = count % Lanes;
  words = encode_remainder(entries, remainder, channel, Lanes, states, words);
  const Push* pushes = channel.pushes.data();
  uint32_t local[Lanes];
  std::memcpy(local, states, sizeof local);
  for (size_t k = remainder; k < count; k += Lanes)
    for (int j = 0; j < Lanes; ++j) local[j] = push(local[j], pushes[entries[k + j]], words);
  std::memcpy(states, local, sizeof local);
  return words;
}

inline uint16_t* encode_scalar(const uint16_t* entries, size_t count, const Channel& channel,
                               int lanes, uint32_t* states, uint16_t* words) {
  switch (lanes) {
    case 2:
      return encode_lanes<2>(entries, count, channel, states, words);
    case 4:
      return encode_lanes<4>(entries, count, channel, states, words);
    case 8:
      return encode_lanes<8>(entries, count, channel, states, words);
    case 16:
      return encode_lanes<16>(entries, count, channel, states, words);
    case 32:
      return encode_lanes<32>(entries, count, channel, states, words);
    default:
      return encode_lanes<64>(entries, count, channel, states, words);
  }
}

inline uint32_t find_entry(uint32_t slot, const Channel& channel, const ChannelDecoding& decoding) {
  uint32_t entry = decoding.first.data()[slot >> 4];
  const Interval* intervals = channel.intervals.data();
  while (slot >= uint32_t{intervals[entry].start} + intervals[entry].frequency) ++entry;
  return entry;
}

// A word is there and read whether needed or not: a branch would be mispredicted.
inline uint32_t pop_unchecked(uint32_t state, Interval interval, const uint8_t*& next) {
  state = pop(state, interval);
  uint16_t word;
  std::memcpy(&word, next, 2);
  const uint32_t needs = 0 - static_cast<uint32_t>(state < kLower);  // all ones or none
  next += needs & 2;
  return state ^ ((state ^ (state << 16 | word)) & needs);
}

// Entries [begin, count) one by one, with every check.
inline void decode_remainder(Cursor& cursor, size_t begin, size_t count, const Channel& channel,
                             const ChannelDecoding& decoding, int lanes, uint16_t* entries) {
  for (size_t i = begin; i < count; ++i) {
    uint32_t& state = cursor.states[i & (lanes - 1)];
    const uint32_t entry = find_entry(state & (kTotal - 1), channel, decoding);
    entries[i] = static_cast<uint16_t>(entry);
    state = pop(state, channel.intervals.data()[entry]);
    if (state >= kLower) continue;
    if (cursor.next == cursor.end) {
      cursor.ran_out = true;
      return;
    }
    state = state << 16 | cursor.next[0] | cursor.next[1] << 8;
    cursor.next += 2;
  }
}

// Whole groups while a word for every lane is left; returns how many entries that made.
template <int Lanes>
size_t decode_groups(Cursor& cursor, size_t count, const Channel& channel,
                     const ChannelDecoding& decoding, uint16_t* entries) {
  if (decoding.entry.empty()) return 0;
  const Interval* intervals = channel.intervals.data();
  const uint8_t* found = decoding.entry.data();
  const uint8_t* next = cursor.next;
  uint32_t local[Lanes];
  std::memcpy(local, cursor.states, sizeof local);
  size_t i = 0;
  for (; i + Lanes <= count && cursor.end - next >= 2 * Lanes; i += Lanes)
    for (int j = 0; j < Lanes; ++j) {
      const uint32_t entry = found[local[j] & (kTotal - 1)];
      entries[i + j] = static_cast<uint16_t>(entry);
      local[j] = pop_unchecked(local[j], intervals[entry], next);
    }
  std::memcpy(cursor.states, local, sizeof local);
  cursor.next = next;
  return i;
}

inline void decode_one_scalar(Cursor& cursor, size_t count, const Channel& channel,
                              const ChannelDecoding& decoding, int lanes, uint16_t* entries) {
  size_t done = 0;
  if constexpr (std::endian::native == std::endian::little) {
    switch (lanes) {
      case 2:
        done = decode_groups<2>(cursor, count, channel, decoding, entries);
        break;
      case 4:
        done = decode_groups<4>(cursor, count, channel, decoding, entries);
        break;
      case 8:
        done = decode_groups<8>(cursor, count, channel, decoding, entries);
        break;
      case 16:
        done = decode_groups<16>(cursor, count, channel, decoding, entries);
        break;
      case 32:
        done = decode_groups<32>(cursor, count, channel, decoding, entries);
        break;
      default:
        done = decode_groups<64>(cursor, count, channel, decoding, entries);
    }
  }
  decode_remainder(cursor, done, count, channel, decoding, lanes, entries);
}

inline void decode_scalar(Cursor* const cursors[2], size_t count, const Channel& channel,
                          const ChannelDecoding& decoding, int lanes, uint16_t* const entries[2]) {
  for (int p = 0; p < 2 && cursors[p]; ++p)
    decode_one_scalar(*cursors[p], count, channel, decoding, lanes, entries[p]);
}

inline void symbols_of_entries_scalar(const uint16_t* entries, size_t begin, size_t count,
                                      const Channel& channel, int16_t* symbols,
                                      std::vector<size_t>& escapes, size_t first) {
  for (size_t i = begin; i < count; ++i) {
    symbols[i] = static_cast<int16_t>(entries[i] + channel.offset);
    if (entries[i] == channel.length) append(escapes, first + i);
  }
}

inline float dequantised(int32_t symbol, Dequantiser dequantiser) {
  float value = static_cast<float>(symbol);
  value += dequantiser.median;
  return value * dequantiser.gain;
}

inline void latent_of_entries_scalar(const uint16_t* entries, size_t begin, size_t count,
                                     Dequantiser dequantiser, const Channel& channel, float* latent,
                                     std::vector<size_t>& escapes, size_t first) {
  for (size_t i = begin; i < count; ++i) {
    latent[i] = dequantised(entries[i] + channel.offset, dequantiser);
    if (entries[i] == channel.length) append(escapes, first + i);
  }
}

}  // namespace
}  // namespace narrows
