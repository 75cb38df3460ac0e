// NEON of every 64-bit Arm: four lanes to a vector, built to spend at most 14 instructions on a
// symbol's encoding and 16 on its decoding, quantising included.
#include <arm_neon.h>

#include <array>

#include "coder/rows_scalar.h"

namespace narrows {
namespace {

using Vector = uint32x4_t;
constexpr size_t kWidth = 4;

// By mask of four lanes, apart for the sake of addressing.
struct Shuffles {
  uint8_t compression[16][8];  // moves the words of the lanes to the front
  uint8_t expansion[16][16];   // the other way, into the low halves of 32 bits
  uint8_t words[16];           // how many
};

constexpr Shuffles make_shuffles() {
  Shuffles table{};
  for (uint32_t mask = 0; mask < 16; ++mask) {
    for (uint8_t& byte : table.compression[mask]) byte = 0xFF;
    for (uint8_t& byte : table.expansion[mask]) byte = 0xFF;
    for (uint8_t lane = 0; lane < 4; ++lane)
      if (mask >> lane & 1) {
        const uint8_t word = table.words[mask]++;
        for (uint8_t byte = 0; byte < 2; ++byte) {
          table.compression[mask][2 * word + byte] = 2 * lane + byte;
          table.expansion[mask][4 * lane + byte] = 2 * word + byte;
        }
      }
  }
  return table;
}
constexpr Shuffles kShuffles = make_shuffles();

// Of lanes whose bits are all set or none.
inline uint64_t mask_of(Vector lanes) {
  const Vector bits = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(lanes, bits));
}

// ---- latents and symbols to entries

// Eight symbols that begin `index` symbols into a row of `count`.
inline void store_entries(int16x8_t symbols, size_t index, size_t count, int16_t offset,
                          uint16_t length, uint16_t* entries, std::vector<Escaped>& escaped,
                          size_t first) {
  // Modulo 2^16, as no symbol outside the table comes to lie inside it: it stays within int16.
  const uint16x8_t entry = vreinterpretq_u16_s16(vsubq_s16(symbols, vdupq_n_s16(offset)));
  const uint16x8_t reversed = vrev64q_u16(vminq_u16(entry, vdupq_n_u16(length)));
  vst1q_u16(entries + count - index - 8, vextq_u16(reversed, reversed, 4));
  if (__builtin_expect(vmaxvq_u16(entry) >= length, 0)) {
    int16_t values[8];
    vst1q_s16(values, symbols);
    for (size_t j = 0; j < 8; ++j)
      if (static_cast<uint16_t>(values[j] - offset) >= length)
        append(escaped, first + index + j, values[j]);
  }
}

void entries_of_symbols(const int16_t* symbols, size_t count, const Channel& channel,
                        uint16_t* entries, std::vector<Escaped>& escaped, size_t first) {
  const auto offset = static_cast<int16_t>(channel.offset);
  const auto length = static_cast<uint16_t>(channel.length);
  size_t i = 0;
  for (; i + 8 <= count; i += 8)
    store_entries(vld1q_s16(symbols + i), i, count, offset, length, entries, escaped, first);
  entries_of_symbols_scalar(symbols, i, count, channel, entries, escaped, first);
}

void entries_of_latent(const float* latent, size_t count, Quantiser quantiser,
                       const Channel& channel, uint16_t* entries, std::vector<Escaped>& escaped,
                       size_t first) {
  const float32x4_t gain = vdupq_n_f32(quantiser.gain), median = vdupq_n_f32(quantiser.median);
  const float32x4_t lowest = vdupq_n_f32(-kSymbolLimit);
  // The number of two where one is none; above, narrowing saturates.
  const auto rounded_four = [&](const float* from) {
    const float32x4_t value = vsubq_f32(vmulq_f32(vld1q_f32(from), gain), median);
    return vcvtnq_s32_f32(vmaxnmq_f32(value, lowest));
  };
  const auto offset = static_cast<int16_t>(channel.offset);
  const auto length = static_cast<uint16_t>(channel.length);
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const int16x4_t low = vqmovn_s32(rounded_four(latent + i));
    store_entries(vqmovn_high_s32(low, rounded_four(latent + i + 4)), i, count, offset, length,
                  entries, escaped, first);
  }
  entries_of_latent_scalar(latent, i, count, quantiser, channel, entries, escaped, first);
}

// ---- encoding

inline uint32x4_t two(const PackedPush* pushes, uint16_t a, uint16_t b) {
  const auto* from = reinterpret_cast<const uint64_t*>(pushes);
  return vreinterpretq_u32_u64(vld1q_lane_u64(from + b, vdupq_n_u64(from[a]), 1));
}

// One step of four lanes.
inline Vector push4(Vector state, const uint16_t* entries, const PackedPush* pushes,
                    uint16_t*& words) {
  const uint32x4_t low = two(pushes, entries[0], entries[1]);
  const uint32x4_t high = two(pushes, entries[2], entries[3]);
  const Vector interval = vuzp1q_u32(low, high), packed = vuzp2q_u32(low, high);
  const Vector limit = vandq_u32(interval, vdupq_n_u32(0xFFFC0000));
  const Vector start = vandq_u32(vshrq_n_u32(interval, 4), vdupq_n_u32(kTotal - 1));
  const Vector rest = vsubq_u32(vdupq_n_u32(kTotal), vshrq_n_u32(interval, 18));
  const int32x4_t shift = vnegq_s32(vreinterpretq_s32_u32(vandq_u32(interval, vdupq_n_u32(15))));
  const Vector multiplier = vorrq_u32(packed, vdupq_n_u32(0x80000000));

  const Vector emits = vcgeq_u32(state, limit);
  const uint64_t mask = mask_of(emits);
  const uint8x8_t halves = vreinterpret_u8_u16(vmovn_u32(state));
  const uint8x8_t front = vtbl1_u8(halves, vld1_u8(kShuffles.compression[mask]));
  vst1_u16(words, vreinterpret_u16_u8(front));
  words += kShuffles.words[mask];
  state = vshlq_u32(state, vreinterpretq_s32_u32(vandq_u32(emits, vdupq_n_u32(-16u))));

  const Vector x = vsraq_n_u32(state, packed, 31);  // plus the increment
  const uint64x2_t below = vmull_u32(vget_low_u32(x), vget_low_u32(multiplier));
  const uint64x2_t above = vmull_high_u32(x, multiplier);
  const Vector product = vuzp2q_u32(vreinterpretq_u32_u64(below), vreinterpretq_u32_u64(above));
  return vmlaq_u32(vaddq_u32(state, start), vshlq_u32(product, shift), rest);
}

template <int Lanes>
uint16_t* encode_vectors(const uint16_t* entries, size_t count, const Channel& channel,
                         uint32_t* states, uint16_t* words) {
  constexpr int kVectors = Lanes / 4;
  const size_t remainder = count % Lanes;
  words = encode_remainder(entries, remainder, channel, Lanes, states, words);
  const PackedPush* pushes = channel.packed_pushes.data();
  Vector state[kVectors];
  for (int v = 0; v < kVectors; ++v) state[v] = vld1q_u32(states + kWidth * v);
  for (size_t k = remainder; k < count; k += Lanes)
    for (int v = 0; v < kVectors; ++v)
      state[v] = push4(state[v], entries + k + kWidth * v, pushes, words);
  for (int v = 0; v < kVectors; ++v) vst1q_u32(states + kWidth * v, state[v]);
  return words;
}

uint16_t* encode(const uint16_t* entries, size_t count, const Channel& channel, int lanes,
                 uint32_t* states, uint16_t* words) {
  switch (lanes) {
    case 4:
      return encode_vectors<4>(entries, count, channel, states, words);
    case 8:
      return encode_vectors<8>(entries, count, channel, states, words);
    case 16:
      return encode_vectors<16>(entries, count, channel, states, words);
    case 32:
      return encode_vectors<32>(entries, count, channel, states, words);
    case 64:
      return encode_vectors<64>(entries, count, channel, states, words);
    default:
      return encode_scalar(entries, count, channel, lanes, states, words);
  }
}

// ---- decoding

// One step of four lanes; the entries go to `entries`.
inline Vector pop4(Vector state, const uint8_t* found, const uint32_t* intervals,
                   const uint8_t*& next, uint16_t* entries) {
  const Vector slots = vandq_u32(state, vdupq_n_u32(kTotal - 1));
  const uint32_t a = found[vgetq_lane_u32(slots, 0)], b = found[vgetq_lane_u32(slots, 1)];
  const uint32_t c = found[vgetq_lane_u32(slots, 2)], d = found[vgetq_lane_u32(slots, 3)];
  entries[0] = static_cast<uint16_t>(a);
  entries[1] = static_cast<uint16_t>(b);
  entries[2] = static_cast<uint16_t>(c);
  entries[3] = static_cast<uint16_t>(d);
  Vector interval = vdupq_n_u32(intervals[a]);
  interval = vld1q_lane_u32(intervals + b, interval, 1);
  interval = vld1q_lane_u32(intervals + c, interval, 2);
  interval = vld1q_lane_u32(intervals + d, interval, 3);
  const Vector frequency = vandq_u32(interval, vdupq_n_u32(kTotal - 1));
  const Vector within = vsubq_u32(slots, vshrq_n_u32(interval, 18));
  state = vmlaq_u32(within, frequency, vshrq_n_u32(state, kPrecision));
  const Vector needs = vcltq_u32(state, vdupq_n_u32(kLower));
  const uint64_t mask = mask_of(needs);
  const uint8x16_t words = vcombine_u8(vld1_u8(next), vdup_n_u8(0));
  const Vector low = vreinterpretq_u32_u8(vqtbl1q_u8(words, vld1q_u8(kShuffles.expansion[mask])));
  next += 2 * kShuffles.words[mask];
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
  Vector state[kVectors];
  for (int v = 0; v < kVectors; ++v) state[v] = vld1q_u32(cursor.states + kWidth * v);
  size_t i = 0;
  for (; i + Lanes <= count && cursor.end - next >= 2 * Lanes; i += Lanes)
    for (int v = 0; v < kVectors; ++v)
      state[v] = pop4(state[v], found, intervals, next, entries + i + kWidth * v);
  for (int v = 0; v < kVectors; ++v) vst1q_u32(cursor.states + kWidth * v, state[v]);
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

// ---- entries to symbols and latents

inline void append_all(std::vector<size_t>& escapes, uint16x8_t found, size_t first) {
  if (__builtin_expect(!vmaxvq_u16(found), 1)) return;
  for (size_t j = 0; j < 8; ++j, found = vextq_u16(found, found, 1))
    if (vgetq_lane_u16(found, 0)) append(escapes, first + j);
}

void symbols_of_entries(const uint16_t* entries, size_t count, const Channel& channel,
                        int16_t* symbols, std::vector<size_t>& escapes, size_t first) {
  const uint16x8_t offset = vdupq_n_u16(static_cast<uint16_t>(channel.offset));
  const uint16x8_t escape = vdupq_n_u16(static_cast<uint16_t>(channel.length));
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const uint16x8_t entry = vld1q_u16(entries + i);
    vst1q_s16(symbols + i, vreinterpretq_s16_u16(vaddq_u16(entry, offset)));
    append_all(escapes, vceqq_u16(entry, escape), first + i);
  }
  symbols_of_entries_scalar(entries, i, count, channel, symbols, escapes, first);
}

void latent_of_entries(const uint16_t* entries, size_t count, Dequantiser dequantiser,
                       const Channel& channel, float* latent, std::vector<size_t>& escapes,
                       size_t first) {
  const uint16x8_t escape = vdupq_n_u16(static_cast<uint16_t>(channel.length));
  const int32x4_t offset = vdupq_n_s32(channel.offset);
  const float32x4_t gain = vdupq_n_f32(dequantiser.gain), median = vdupq_n_f32(dequantiser.median);
  const auto restored = [&](uint32x4_t entry) {
    const float32x4_t symbol = vcvtq_f32_s32(vaddq_s32(vreinterpretq_s32_u32(entry), offset));
    return vmulq_f32(vaddq_f32(symbol, median), gain);
  };
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const uint16x8_t entry = vld1q_u16(entries + i);
    vst1q_f32(latent + i, restored(vmovl_u16(vget_low_u16(entry))));
    vst1q_f32(latent + i + 4, restored(vmovl_high_u16(entry)));
    append_all(escapes, vceqq_u16(entry, escape), first + i);
  }
  latent_of_entries_scalar(entries, i, count, dequantiser, channel, latent, escapes, first);
}

}  // namespace

const RowKernels kNeonRows = {entries_of_symbols, entries_of_latent, encode, decode,
                              symbols_of_entries, latent_of_entries};

}  // namespace narrows
