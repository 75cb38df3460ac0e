// NEON of every 64-bit Arm: four lanes to a vector, two vectors to a step of the encoder. Bound by
// instructions, of which the look-ups of every lane take half: there are no gathers here.
#include <arm_neon.h>

#include <array>

#include "coder/rows_scalar.h"

namespace narrows {
namespace {

constexpr size_t kStep = 8;   // lanes to a step
constexpr size_t kLook = 32;  // symbols between two looks for escapes

// The eight halves of a comparison as a number: bit j is lane j, and the count is from bit 9 on.
inline uint32_t mask_and_count(uint16x8_t chosen) {
  constexpr uint16_t kOne = 1 << 9;
  const uint16x8_t weights = {kOne | 1,  kOne | 2,  kOne | 4,  kOne | 8,
                              kOne | 16, kOne | 32, kOne | 64, kOne | 128};
  return vaddvq_u16(vandq_u16(chosen, weights));
}
inline size_t mask_of(uint32_t both) { return both & 0xFF; }
inline size_t bytes_of(uint32_t both) { return both >> 8; }  // two for each lane chosen

using Bytes = std::array<uint8_t, 16>;
constexpr uint8_t kNothing = 0xFF;  // an index that tbl makes a zero of

inline uint8x16_t load(const Bytes& bytes) { return vld1q_u8(bytes.data()); }

// ---- latent and symbols to entries

// Eight symbols' entries, the last symbol's first; `highest` gathers them before they are limited.
inline void store_entries(int16x8_t symbols, const Channel& channel, uint16_t* entries,
                          uint16x8_t& highest) {
  const int16x8_t offset = vdupq_n_s16(static_cast<int16_t>(channel.offset));
  const uint16x8_t length = vdupq_n_u16(static_cast<uint16_t>(channel.length));
  // Symbols and tables lie within int16, so that no difference wraps into the table.
  const uint16x8_t entry = vreinterpretq_u16_s16(vsubq_s16(symbols, offset));
  highest = vmaxq_u16(highest, entry);
  const uint16x8_t reversed = vrev64q_u16(vminq_u16(entry, length));
  vst1q_u16(entries, vextq_u16(reversed, reversed, 4));
}

void entries_of_symbols(const int16_t* symbols, size_t count, const Channel& channel,
                        uint16_t* entries, std::vector<Escaped>& escaped, size_t first) {
  size_t i = 0;
  for (; i + kLook <= count; i += kLook) {
    uint16x8_t highest = vdupq_n_u16(0);
    uint16_t* const end = entries + count - i;
    for (size_t k = 0; k < kLook; k += kStep)
      store_entries(vld1q_s16(symbols + i + k), channel, end - k - kStep, highest);
    if (__builtin_expect(vmaxvq_u16(highest) >= channel.length, 0))
      entries_of_symbols_scalar(symbols + i, 0, kLook, channel, end - kLook, escaped, first + i);
  }
  entries_of_symbols_scalar(symbols, i, count, channel, entries, escaped, first);
}

// Narrowing to int16 saturates, and so limits what is high; not-a-number becomes the lowest.
inline int16x8_t quantised8(const float* latent, float32x4_t gain, float32x4_t median) {
  const float32x4_t lowest = vdupq_n_f32(-kSymbolLimit);
  const float32x4_t low = vsubq_f32(vmulq_f32(vld1q_f32(latent), gain), median);
  const float32x4_t high = vsubq_f32(vmulq_f32(vld1q_f32(latent + 4), gain), median);
  return vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(vmaxnmq_f32(low, lowest))),
                         vcvtnq_s32_f32(vmaxnmq_f32(high, lowest)));
}

void entries_of_latent(const float* latent, size_t count, Quantiser quantiser,
                       const Channel& channel, uint16_t* entries, std::vector<Escaped>& escaped,
                       size_t first) {
  const float32x4_t gain = vdupq_n_f32(quantiser.gain), median = vdupq_n_f32(quantiser.median);
  size_t i = 0;
  for (; i + kLook <= count; i += kLook) {
    uint16x8_t highest = vdupq_n_u16(0);
    uint16_t* const end = entries + count - i;
    for (size_t k = 0; k < kLook; k += kStep)
      store_entries(quantised8(latent + i + k, gain, median), channel, end - k - kStep, highest);
    if (__builtin_expect(vmaxvq_u16(highest) >= channel.length, 0))
      entries_of_latent_scalar(latent + i, 0, kLook, quantiser, channel, end - kLook, escaped,
                               first + i);
  }
  entries_of_latent_scalar(latent, i, count, quantiser, channel, entries, escaped, first);
}

// ---- encoding

// By mask: which halves of a vector are kept, brought together.
constexpr auto kCompress = [] {
  std::array<Bytes, 256> table{};
  for (unsigned mask = 0; mask < 256; ++mask) {
    table[mask].fill(kNothing);
    uint8_t* to = table[mask].data();
    for (uint8_t j = 0; j < 8; ++j) {
      if (!(mask >> j & 1)) continue;
      *to++ = 2 * j;
      *to++ = 2 * j + 1;
    }
  }
  return table;
}();

// Four entries' intervals and multipliers.
inline uint32x4x2_t look_up(const PackedPush* pushes, const uint16_t* entries) {
  uint32x2_t push[4];
  for (int j = 0; j < 4; ++j) push[j] = vld1_u32(&pushes[entries[j]].interval);
  const uint32x4_t low = vcombine_u32(push[0], push[1]), high = vcombine_u32(push[2], push[3]);
  return {vuzp1q_u32(low, high), vuzp2q_u32(low, high)};
}

inline uint32x4_t divided_and_pushed(uint32x4_t state, uint32x4_t interval, uint32x4_t packed) {
  const uint32x4_t rest = vsubq_u32(vdupq_n_u32(kTotal), vshrq_n_u32(interval, 18));
  const uint32x4_t shift = vandq_u32(interval, vdupq_n_u32(15));
  const uint32x4_t multiplier = vorrq_u32(packed, vdupq_n_u32(0x80000000));
  const uint32x4_t x = vsraq_n_u32(state, packed, 31);
  const uint64x2_t low = vmull_u32(vget_low_u32(x), vget_low_u32(multiplier));
  const uint64x2_t high = vmull_high_u32(x, multiplier);
  const uint32x4_t product = vuzp2q_u32(vreinterpretq_u32_u64(low), vreinterpretq_u32_u64(high));
  const uint32x4_t quotient = vshlq_u32(product, vnegq_s32(vreinterpretq_s32_u32(shift)));
  const uint32x4_t and_start = vsraq_n_u32(state, vshlq_n_u32(interval, 14), 18);
  return vmlaq_u32(and_start, quotient, rest);
}

// One step of eight lanes.
inline void push8(uint32x4_t state[2], const uint16_t* entries, const PackedPush* pushes,
                  uint8_t*& words) {
  const uint32x4x2_t first = look_up(pushes, entries), second = look_up(pushes, entries + 4);
  const uint32x4_t limit_bits = vdupq_n_u32(0xFFFC0000);
  const uint32x4_t emits[2] = {vcgeq_u32(state[0], vandq_u32(first.val[0], limit_bits)),
                               vcgeq_u32(state[1], vandq_u32(second.val[0], limit_bits))};
  const uint32_t emitted =
      mask_and_count(vuzp1q_u16(vreinterpretq_u16_u32(emits[0]), vreinterpretq_u16_u32(emits[1])));
  const uint16x8_t low =
      vuzp1q_u16(vreinterpretq_u16_u32(state[0]), vreinterpretq_u16_u32(state[1]));
  vst1q_u8(words, vqtbl1q_u8(vreinterpretq_u8_u16(low), load(kCompress[mask_of(emitted)])));
  words += bytes_of(emitted);
  for (int v = 0; v < 2; ++v) state[v] = vbslq_u32(emits[v], vshrq_n_u32(state[v], 16), state[v]);
  state[0] = divided_and_pushed(state[0], first.val[0], first.val[1]);
  state[1] = divided_and_pushed(state[1], second.val[0], second.val[1]);
}

template <int Lanes>
uint16_t* encode_lanes_of(const uint16_t* entries, size_t count, const Channel& channel,
                          uint32_t* states, uint16_t* words) {
  const size_t remainder = count % Lanes;
  words = encode_remainder(entries, remainder, channel, Lanes, states, words);
  const PackedPush* pushes = channel.packed_pushes.data();
  auto* bytes = reinterpret_cast<uint8_t*>(words);
  uint32x4_t state[Lanes / 4];
  for (int v = 0; v < Lanes / 4; ++v) state[v] = vld1q_u32(states + 4 * v);
  for (size_t k = remainder; k < count; k += Lanes)
#pragma GCC unroll 8
    for (int v = 0; v < Lanes / 4; v += 2) push8(state + v, entries + k + 4 * v, pushes, bytes);
  for (int v = 0; v < Lanes / 4; ++v) vst1q_u32(states + 4 * v, state[v]);
  return reinterpret_cast<uint16_t*>(bytes);
}

uint16_t* encode(const uint16_t* entries, size_t count, const Channel& channel, int lanes,
                 uint32_t* states, uint16_t* words) {
  switch (lanes) {
    case 8:
      return encode_lanes_of<8>(entries, count, channel, states, words);
    case 16:
      return encode_lanes_of<16>(entries, count, channel, states, words);
    case 32:
      return encode_lanes_of<32>(entries, count, channel, states, words);
    case 64:
      return encode_lanes_of<64>(entries, count, channel, states, words);
    default:
      return encode_scalar(entries, count, channel, lanes, states, words);
  }
}

// ---- decoding

// By mask of four lanes: where each one's word comes from, as the low half of 32 bits; how many
// bytes.
constexpr auto kExpand = [] {
  std::array<Bytes, 16> table{};
  for (unsigned mask = 0; mask < 16; ++mask) {
    table[mask].fill(kNothing);
    uint8_t from = 0;
    for (uint8_t lane = 0; lane < 4; ++lane) {
      if (!(mask >> lane & 1)) continue;
      table[mask][4 * lane] = from++;
      table[mask][4 * lane + 1] = from++;
    }
  }
  return table;
}();
constexpr uint8_t kBytes[] = {0, 2, 2, 4, 2, 4, 4, 6, 2, 4, 4, 6, 4, 6, 6, 8};

// One step of four lanes; the entries go to `entries`.
inline uint32x4_t pop4(uint32x4_t state, const uint8_t* found, const uint32_t* intervals,
                       const uint8_t*& next, uint16_t* entries) {
  const uint32x4_t slots = vandq_u32(state, vdupq_n_u32(kTotal - 1));
  const uint32_t a = found[vgetq_lane_u32(slots, 0)], b = found[vgetq_lane_u32(slots, 1)];
  const uint32_t c = found[vgetq_lane_u32(slots, 2)], d = found[vgetq_lane_u32(slots, 3)];
  entries[0] = static_cast<uint16_t>(a);
  entries[1] = static_cast<uint16_t>(b);
  entries[2] = static_cast<uint16_t>(c);
  entries[3] = static_cast<uint16_t>(d);
  uint32x4_t interval = vdupq_n_u32(intervals[a]);
  interval = vld1q_lane_u32(intervals + b, interval, 1);
  interval = vld1q_lane_u32(intervals + c, interval, 2);
  interval = vld1q_lane_u32(intervals + d, interval, 3);
  const uint32x4_t frequency = vandq_u32(interval, vdupq_n_u32(kTotal - 1));
  const uint32x4_t within = vsubq_u32(slots, vshrq_n_u32(interval, 18));
  state = vmlaq_u32(within, frequency, vshrq_n_u32(state, kPrecision));
  const uint32x4_t needs = vcltq_u32(state, vdupq_n_u32(kLower));
  const uint32x4_t bits = {1, 2, 4, 8};
  const uint64_t mask = vaddvq_u32(vandq_u32(needs, bits));
  const uint8x16_t words = vcombine_u8(vld1_u8(next), vdup_n_u8(0));
  const uint32x4_t low = vreinterpretq_u32_u8(vqtbl1q_u8(words, load(kExpand[mask])));
  next += kBytes[mask];
  const int32x4_t by = vreinterpretq_s32_u32(vandq_u32(needs, vdupq_n_u32(16)));
  return vorrq_u32(vshlq_u32(state, by), low);
}

// Whole groups while a word for every lane is left; returns how many entries that made.
template <int Lanes>
size_t decode_vectors(Cursor& cursor, size_t count, const Channel& channel,
                      const ChannelDecoding& decoding, uint16_t* entries) {
  if (decoding.entry.empty()) return 0;
  constexpr int kVectors = Lanes / 4;
  const uint8_t* found = decoding.entry.data();
  const uint32_t* intervals = channel.pop_intervals.data();
  const uint8_t* next = cursor.next;
  uint32x4_t state[kVectors];
  for (int v = 0; v < kVectors; ++v) state[v] = vld1q_u32(cursor.states + 4 * v);
  size_t i = 0;
  for (; i + Lanes <= count && cursor.end - next >= 2 * Lanes; i += Lanes)
    for (int v = 0; v < kVectors; ++v)
      state[v] = pop4(state[v], found, intervals, next, entries + i + 4 * v);
  for (int v = 0; v < kVectors; ++v) vst1q_u32(cursor.states + 4 * v, state[v]);
  cursor.next = next;
  return i;
}

size_t decode_groups_for(Cursor& cursor, size_t count, const Channel& channel,
                         const ChannelDecoding& decoding, int lanes, uint16_t* entries) {
  switch (lanes) {
    case 4:
      return decode_vectors<4>(cursor, count, channel, decoding, entries);
    case 8:
      return decode_vectors<8>(cursor, count, channel, decoding, entries);
    case 16:
      return decode_vectors<16>(cursor, count, channel, decoding, entries);
    case 32:
      return decode_vectors<32>(cursor, count, channel, decoding, entries);
    case 64:
      return decode_vectors<64>(cursor, count, channel, decoding, entries);
    default:
      return 0;
  }
}

void decode(Cursor* const cursors[2], size_t count, const Channel& channel,
            const ChannelDecoding& decoding, int lanes, uint16_t* const entries[2]) {
  for (int p = 0; p < 2 && cursors[p]; ++p) {
    const size_t done = decode_groups_for(*cursors[p], count, channel, decoding, lanes, entries[p]);
    decode_one_scalar(*cursors[p], count - done, channel, decoding, lanes, entries[p] + done);
  }
}

// ---- entries to symbols and latent

void append_all(const uint16_t* entries, const Channel& channel, std::vector<size_t>& escapes,
                size_t first) {
  for (size_t k = 0; k < kLook; ++k)
    if (entries[k] == channel.length) append(escapes, first + k);
}

void symbols_of_entries(const uint16_t* entries, size_t count, const Channel& channel,
                        int16_t* symbols, std::vector<size_t>& escapes, size_t first) {
  const uint16x8_t offset = vdupq_n_u16(static_cast<uint16_t>(channel.offset));
  size_t i = 0;
  for (; i + kLook <= count; i += kLook) {
    uint16x8_t highest = vdupq_n_u16(0);
    for (size_t k = 0; k < kLook; k += kStep) {
      const uint16x8_t entry = vld1q_u16(entries + i + k);
      highest = vmaxq_u16(highest, entry);
      vst1q_s16(symbols + i + k, vreinterpretq_s16_u16(vaddq_u16(entry, offset)));
    }
    if (__builtin_expect(vmaxvq_u16(highest) >= channel.length, 0))
      append_all(entries + i, channel, escapes, first + i);
  }
  symbols_of_entries_scalar(entries, i, count, channel, symbols, escapes, first);
}

void latent_of_entries(const uint16_t* entries, size_t count, Dequantiser dequantiser,
                       const Channel& channel, float* latent, std::vector<size_t>& escapes,
                       size_t first) {
  const uint16x8_t offset = vdupq_n_u16(static_cast<uint16_t>(channel.offset));
  const float32x4_t gain = vdupq_n_f32(dequantiser.gain), median = vdupq_n_f32(dequantiser.median);
  size_t i = 0;
  for (; i + kLook <= count; i += kLook) {
    uint16x8_t highest = vdupq_n_u16(0);
    for (size_t k = 0; k < kLook; k += kStep) {
      const uint16x8_t entry = vld1q_u16(entries + i + k);
      highest = vmaxq_u16(highest, entry);
      const int16x8_t symbol = vreinterpretq_s16_u16(vaddq_u16(entry, offset));
      const float32x4_t low = vcvtq_f32_s32(vmovl_s16(vget_low_s16(symbol)));
      const float32x4_t high = vcvtq_f32_s32(vmovl_high_s16(symbol));
      vst1q_f32(latent + i + k, vmulq_f32(vaddq_f32(low, median), gain));
      vst1q_f32(latent + i + k + 4, vmulq_f32(vaddq_f32(high, median), gain));
    }
    if (__builtin_expect(vmaxvq_u16(highest) >= channel.length, 0))
      append_all(entries + i, channel, escapes, first + i);
  }
  latent_of_entries_scalar(entries, i, count, dequantiser, channel, latent, escapes, first);
}

}  // namespace

const RowKernels kNeonRows = {entries_of_symbols, entries_of_latent, encode, decode,
                              symbols_of_entries, latent_of_entries};

}  // namespace narrows
