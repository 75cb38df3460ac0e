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

constexpr size_t kBlock = 32;  // symbols that a compiler's vectors go through at a time

// A block's symbols. Adding 1.5 * 2^23 leaves the nearest integer, ties to even, in the low bits.
inline void quantise_block(const float* latent, size_t count, Quantiser quantiser,
                           int16_t* symbols) {
  float shifted[kBlock];
  uint32_t bits[kBlock];
  for (size_t i = 0; i < count; ++i) {
    float value = latent[i] * quantiser.gain;
    value -= quantiser.median;
    value = value > -kSymbolLimit ? value : -kSymbolLimit;  // also where it is not a number
    value = value < kSymbolLimit ? value : kSymbolLimit;
    shifted[i] = value + 12582912.0f;
  }
  std::memcpy(bits, shifted, sizeof bits);
  for (size_t i = 0; i < count; ++i) symbols[i] = static_cast<int16_t>(bits[i]);
}

// A block's entries, in coding order; appends the symbols outside the table. Modulo 2^16, as no
// symbol outside the table comes to lie inside it: it stays within int16.
inline void store_block(const int16_t* symbols, size_t count, const Channel& channel,
                        uint16_t* entries, std::vector<Escaped>& escaped, size_t first) {
  const auto length = static_cast<uint16_t>(channel.length);
  const auto offset = static_cast<uint16_t>(channel.offset);
  uint16_t kept[kBlock];
  uint16_t outside = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto entry = static_cast<uint16_t>(symbols[i] - offset);
    kept[i] = entry < length ? entry : length;
    outside |= kept[i] == length;
  }
  for (size_t i = 0; i < count; ++i) entries[count - 1 - i] = kept[i];
  for (size_t i = 0; outside && i < count; ++i)
    if (kept[i] == length) append(escaped, first + i, symbols[i]);
}

// Symbols [begin, count) of a row.
inline void entries_of_symbols_scalar(const int16_t* symbols, size_t begin, size_t count,
                                      const Channel& channel, uint16_t* entries,
                                      std::vector<Escaped>& escaped, size_t first) {
  for (size_t i = begin; i < count; i += kBlock) {
    const size_t size = count - i < kBlock ? count - i : kBlock;
    store_block(symbols + i, size, channel, entries + count - i - size, escaped, first + i);
  }
}

inline void entries_of_latent_scalar(const float* latent, size_t begin, size_t count,
                                     Quantiser quantiser, const Channel& channel, uint16_t* entries,
                                     std::vector<Escaped>& escaped, size_t first) {
  int16_t symbols[kBlock];
  for (size_t i = begin; i < count; i += kBlock) {
    const size_t size = count - i < kBlock ? count - i : kBlock;
    quantise_block(latent + i, size, quantiser, symbols);
    store_block(symbols, size, channel, entries + count - i - size, escaped, first + i);
  }
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
  const uint32_t filled = state << 16 | word;
#if defined(__x86_64__)  // where compilers make a branch of it all the same
  const uint8_t* after = next + 2;
  asm("cmp %[lower], %[state]\n\tcmovb %[filled], %[state]\n\tcmovb %[after], %[next]"
      : [state] "+r"(state), [next] "+r"(next)
      : [lower] "i"(kLower), [filled] "r"(filled), [after] "r"(after)
      : "cc");
  return state;
#else
  const uint32_t needs = 0 - static_cast<uint32_t>(state < kLower);  // all ones or none
  next += needs & 2;
  return state ^ ((state ^ filled) & needs);
#endif
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

inline void append_escapes(const uint16_t* entries, size_t count, const Channel& channel,
                           std::vector<size_t>& escapes, size_t first) {
  const auto escape = static_cast<uint16_t>(channel.length);
  uint16_t any = 0;
  for (size_t i = 0; i < count; ++i) any |= entries[i] == escape;
  if (!any) return;
  for (size_t i = 0; i < count; ++i)
    if (entries[i] == escape) append(escapes, first + i);
}

// Entries [begin, count) of a row.
inline void symbols_of_entries_scalar(const uint16_t* entries, size_t begin, size_t count,
                                      const Channel& channel, int16_t* symbols,
                                      std::vector<size_t>& escapes, size_t first) {
  const int32_t offset = channel.offset;
  for (size_t i = begin; i < count; ++i) symbols[i] = static_cast<int16_t>(entries[i] + offset);
  append_escapes(entries + begin, count - begin, channel, escapes, first + begin);
}

inline float dequantised(int32_t symbol, Dequantiser dequantiser) {
  float value = static_cast<float>(symbol);
  value += dequantiser.median;
  return value * dequantiser.gain;
}

inline void latent_of_entries_scalar(const uint16_t* entries, size_t begin, size_t count,
                                     Dequantiser dequantiser, const Channel& channel, float* latent,
                                     std::vector<size_t>& escapes, size_t first) {
  const int32_t offset = channel.offset;
  for (size_t i = begin; i < count; ++i) latent[i] = dequantised(entries[i] + offset, dequantiser);
  append_escapes(entries + begin, count - begin, channel, escapes, first + begin);
}

}  // namespace
}  // namespace narrows
