// NEON: four lanes to a vector, eight to a step.
//
// Bound by instructions, of which the look-ups of every lane take half: there are no gathers here.
#include <arm_neon.h>

#include <array>

#include "coder/rows_scalar.h"

namespace narrows {
namespace {

constexpr size_t kStep = 8;   // lanes to a step
constexpr size_t kLook = 32;  // symbols between two looks for escapes

// The eight halves of a comparison as a number: bit j is lane j, and the count is from bit 9 on.
inline size_t mask_and_count(uint16x8_t chosen) {
  constexpr uint16_t kOne = 1 << 9;
  const uint16x8_t weights = {kOne | 1,  kOne | 2,  kOne | 4,  kOne | 8,
                              kOne | 16, kOne | 32, kOne | 64, kOne | 128};
  size_t both = vaddvq_u16(vandq_u16(chosen, weights));
  asm("" : "+r"(both));  // any number: where only 16 bits are known of, more are cleared again
  return both;
}
inline size_t mask_of(size_t both) { return both & 0xFF; }
inline size_t bytes_of(size_t both) { return both >> 8; }  // two for each lane chosen

using Bytes = std::array<uint8_t, 16>;
constexpr uint8_t kNothing = 0xFF;  // an index that tbl makes a zero of

inline uint8x16_t load(const Bytes& bytes) { return vld1q_u8(bytes.data()); }

// ---- latent and symbols to entries

struct Range {
  int16x8_t offset;
  uint16x8_t length;
  uint16x8_t highest = vdupq_n_u16(0);  // of all entries between two looks, before they are limited

  explicit Range(const Channel& channel)
      : offset(vdupq_n_s16(static_cast<int16_t>(channel.offset))),
        length(vdupq_n_u16(static_cast<uint16_t>(channel.length))) {}

  // Eight symbols' entries, the last symbol's first.
  void store(int16x8_t symbols, uint16_t* entries) {
    // Symbols and tables lie within int16, so that no difference wraps into the table.
    const uint16x8_t entry = vreinterpretq_u16_s16(vsubq_s16(symbols, offset));
    highest = vmaxq_u16(highest, entry);
    const uint16x8_t reversed = vrev64q_u16(vminq_u16(entry, length));
    vst1q_u16(entries, vextq_u16(reversed, reversed, 4));
  }

  bool escaped() const { return vmaxvq_u16(highest) >= vgetq_lane_u16(length, 0); }
};

void entries_of_symbols(const int16_t* symbols, size_t count, const Channel& channel,
                        uint16_t* entries, std::vector<Escaped>& escaped, size_t first) {
  Range range(channel);
  size_t i = 0;
  for (; i + kLook <= count; i += kLook) {
    range.highest = vdupq_n_u16(0);
    uint16_t* const end = entries + count - i;
    for (size_t k = 0; k < kLook; k += kStep)
      range.store(vld1q_s16(symbols + i + k), end - k - kStep);
    if (__builtin_expect(range.escaped(), 0))
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
  Range range(channel);
  size_t i = 0;
  for (; i + kLook <= count; i += kLook) {
    range.highest = vdupq_n_u16(0);
    uint16_t* const end = entries + count - i;
    for (size_t k = 0; k < kLook; k += kStep)
      range.store(quantised8(latent + i + k, gain, median), end - k - kStep);
    if (__builtin_expect(range.escaped(), 0))
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

// One field of four table entries each.
struct Fields {
  uint32x4_t first, second;
};

inline Fields unzipped(uint32x2_t a, uint32x2_t b, uint32x2_t c, uint32x2_t d) {
  const uint32x4_t low = vcombine_u32(a, b), high = vcombine_u32(c, d);
  return {vuzp1q_u32(low, high), vuzp2q_u32(low, high)};
}

inline Fields look_up(const ModularPush* pushes, const uint16_t* entries) {
  const auto field = [&](int j) { return vld1_u32(&pushes[entries[j]].interval); };
  return unzipped(field(0), field(1), field(2), field(3));
}

// x becomes (x / f) * 2^14 + x % f + start, the latter two of which stay below 2^14: they are the
// low bits of a sum whose high bits mean nothing.
inline uint32x4_t divided(uint32x4_t state, Fields push, uint32x4_t limit) {
  state = vsraq_n_u32(state, push.first, 31);
  const uint64x2_t low = vmull_u32(vget_low_u32(state), vget_low_u32(push.second));
  const uint64x2_t high = vmull_high_u32(state, push.second);
  const uint32x4_t product = vuzp2q_u32(vreinterpretq_u32_u64(low), vreinterpretq_u32_u64(high));
  const int32x4_t shift = vreinterpretq_s32_u32(vsubq_u32(vclzq_u32(limit), vdupq_n_u32(13)));
  const uint32x4_t quotient = vshlq_u32(product, shift);
  const uint32x4_t sum =
      vmlsq_u32(vsraq_n_u32(state, push.first, kPrecision), quotient, push.first);
  return vsliq_n_u32(sum, quotient, kPrecision);
}

// One step of eight lanes.
inline void push8(uint32x4_t state[2], const uint16_t* entries, const ModularPush* pushes,
                  uint8_t*& words) {
  Fields push[2];
  uint32x4_t limit[2], emits[2];
  for (int v = 0; v < 2; ++v) {
    push[v] = look_up(pushes, entries + 4 * v);
    limit[v] = vshlq_n_u32(push[v].first, 32 - kPrecision);
    emits[v] = vcgeq_u32(state[v], limit[v]);
  }
  const size_t emitted =
      mask_and_count(vuzp1q_u16(vreinterpretq_u16_u32(emits[0]), vreinterpretq_u16_u32(emits[1])));
  const uint16x8_t low =
      vuzp1q_u16(vreinterpretq_u16_u32(state[0]), vreinterpretq_u16_u32(state[1]));
  vst1q_u8(words, vqtbl1q_u8(vreinterpretq_u8_u16(low), load(kCompress[mask_of(emitted)])));
  words += bytes_of(emitted);
  for (int v = 0; v < 2; ++v)
    state[v] = divided(vbslq_u32(emits[v], vshrq_n_u32(state[v], 16), state[v]), push[v], limit[v]);
}

template <int Lanes>
uint16_t* encode_lanes_of(const uint16_t* entries, size_t count, const Channel& channel,
                          uint32_t* states, uint16_t* words) {
  const size_t remainder = count % Lanes;
  words = encode_remainder(entries, remainder, channel, Lanes, states, words);
  const ModularPush* pushes = channel.modular_pushes.data();
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

// By mask: where each half's word comes from.
constexpr auto kExpand = [] {
  std::array<Bytes, 256> table{};
  for (unsigned mask = 0; mask < 256; ++mask) {
    table[mask].fill(kNothing);
    uint8_t from = 0;
    for (int j = 0; j < 8; ++j) {
      if (!(mask >> j & 1)) continue;
      table[mask][2 * j] = from++;
      table[mask][2 * j + 1] = from++;
    }
  }
  return table;
}();

// The frequencies and rests of what the codepoints of four lanes belong to.
inline Fields look_up(const uint8_t* found, const PackedPop* pops, uint32x4_t slot) {
  const uint64x2_t pairs = vreinterpretq_u64_u32(slot);
  uint64_t a = vgetq_lane_u64(pairs, 0);
  const uint64_t b = vgetq_lane_u64(pairs, 1);
  asm("" : "+r"(a));  // its low half is an index as it is: no need to fetch that apart
  const auto field = [&](uint64_t of) { return vld1_u32(&pops[found[of]].frequency); };
  return unzipped(field(static_cast<uint32_t>(a)), field(a >> 32), field(static_cast<uint32_t>(b)),
                  field(b >> 32));
}

// One step of eight lanes.
inline void pop8(uint32x4_t state[2], const uint8_t* found, const PackedPop* pops,
                 const uint8_t*& next, uint16_t* entries) {
  Fields pop[2];
  for (int v = 0; v < 2; ++v) {
    const uint32x4_t slot = vandq_u32(state[v], vdupq_n_u32(kTotal - 1));
    pop[v] = look_up(found, pops, slot);
    const int32x4_t within =
        vsraq_n_s32(vreinterpretq_s32_u32(slot), vreinterpretq_s32_u32(pop[v].second), 16);
    state[v] =
        vmlaq_u32(vreinterpretq_u32_s32(within), pop[v].first, vshrq_n_u32(state[v], kPrecision));
  }
  vst1q_u16(entries,
            vuzp1q_u16(vreinterpretq_u16_u32(pop[0].second), vreinterpretq_u16_u32(pop[1].second)));

  const uint16x8_t low =
      vuzp1q_u16(vreinterpretq_u16_u32(state[0]), vreinterpretq_u16_u32(state[1]));
  const uint16x8_t high =
      vuzp2q_u16(vreinterpretq_u16_u32(state[0]), vreinterpretq_u16_u32(state[1]));
  const uint16x8_t needs = vceqzq_u16(high);
  const size_t needed = mask_and_count(needs);
  const uint16x8_t words =
      vreinterpretq_u16_u8(vqtbl1q_u8(vld1q_u8(next), load(kExpand[mask_of(needed)])));
  next += bytes_of(needed);
  const uint16x8_t new_high = vbslq_u16(needs, low, high), new_low = vbslq_u16(needs, words, low);
  state[0] = vreinterpretq_u32_u16(vzip1q_u16(new_low, new_high));
  state[1] = vreinterpretq_u32_u16(vzip2q_u16(new_low, new_high));
}

// Whole groups while a word for every lane is left; returns how many entries that made.
template <int Lanes>
size_t decode_groups_of(Cursor& cursor, size_t count, const ChannelDecoding& decoding,
                        uint16_t* entries) {
  if (decoding.entry.empty()) return 0;
  const uint8_t* const found = decoding.entry.data();
  const PackedPop* const pops = decoding.packed_pops.data();
  const uint8_t* next = cursor.next;
  uint32x4_t state[Lanes / 4];
  for (int v = 0; v < Lanes / 4; ++v) state[v] = vld1q_u32(cursor.states + 4 * v);
  size_t i = 0;
  for (; i + Lanes <= count && cursor.end - next >= 2 * Lanes; i += Lanes)
#pragma GCC unroll 8
    for (int v = 0; v < Lanes / 4; v += 2) pop8(state + v, found, pops, next, entries + i + 4 * v);
  for (int v = 0; v < Lanes / 4; ++v) vst1q_u32(cursor.states + 4 * v, state[v]);
  cursor.next = next;
  return i;
}

size_t decode_groups_for(Cursor& cursor, size_t count, const ChannelDecoding& decoding, int lanes,
                         uint16_t* entries) {
  switch (lanes) {
    case 8:
      return decode_groups_of<8>(cursor, count, decoding, entries);
    case 16:
      return decode_groups_of<16>(cursor, count, decoding, entries);
    case 32:
      return decode_groups_of<32>(cursor, count, decoding, entries);
    default:
      return decode_groups_of<64>(cursor, count, decoding, entries);
  }
}

void decode(Cursor* const cursors[2], size_t count, const Channel& channel,
            const ChannelDecoding& decoding, int lanes, uint16_t* const entries[2]) {
  if (lanes < 8) return decode_scalar(cursors, count, channel, decoding, lanes, entries);
  for (int p = 0; p < 2 && cursors[p]; ++p) {
    const size_t done = decode_groups_for(*cursors[p], count, decoding, lanes, entries[p]);
    decode_remainder(*cursors[p], done, count, channel, decoding, lanes, entries[p]);
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
