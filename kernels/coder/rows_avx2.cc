// AVX2: eight lanes to a vector. Table entries come by eight 64-bit loads, which beat the gathers
// of every processor that has them; decoding likewise is the scalar loop, whose lanes overlap.
#include <immintrin.h>

#include <array>

#include "coder/rows_scalar.h"

namespace narrows {
namespace {

using Vector = __m256i;
constexpr size_t kWidth = 8;

inline Vector set1(uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); }

// For each mask of eight 16-bit words: the shuffle that moves those it names to the front.
constexpr std::array<std::array<uint8_t, 16>, 256> make_compressions() {
  std::array<std::array<uint8_t, 16>, 256> table{};
  for (uint32_t mask = 0; mask < 256; ++mask) {
    size_t to = 0;
    for (uint8_t word = 0; word < 8; ++word)
      if (mask >> word & 1) {
        table[mask][to++] = 2 * word;
        table[mask][to++] = 2 * word + 1;
      }
  }
  return table;
}
alignas(16) constexpr auto kCompressions = make_compressions();

// ---- latents and symbols to entries

// Eight symbols that begin `index` symbols into a row of `count`.
inline void store_entries(Vector symbols, size_t index, size_t count, const Channel& channel,
                          uint16_t* entries, std::vector<Escaped>& escaped, size_t first) {
  const Vector length = set1(channel.length);
  const Vector entry = _mm256_sub_epi32(symbols, set1(channel.offset));
  const Vector kept = _mm256_min_epu32(entry, length);
  const __m128i narrow =
      _mm_packus_epi32(_mm256_castsi256_si128(kept), _mm256_extracti128_si256(kept, 1));
  const __m128i reverse = _mm_set_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(entries + count - index - kWidth),
                   _mm_shuffle_epi8(narrow, reverse));
  const Vector outside = _mm256_cmpeq_epi32(kept, length);
  uint32_t mask = _mm256_movemask_ps(_mm256_castsi256_ps(outside));
  if (__builtin_expect(mask != 0, 0)) {
    alignas(32) int32_t values[kWidth];
    _mm256_store_si256(reinterpret_cast<Vector*>(values), symbols);
    for (; mask; mask &= mask - 1) {
      const int j = __builtin_ctz(mask);
      append(escaped, first + index + j, static_cast<int16_t>(values[j]));
    }
  }
}

void entries_of_symbols(const int16_t* symbols, size_t count, const Channel& channel,
                        uint16_t* entries, std::vector<Escaped>& escaped, size_t first) {
  size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    const __m128i narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(symbols + i));
    store_entries(_mm256_cvtepi16_epi32(narrow), i, count, channel, entries, escaped, first);
  }
  entries_of_symbols_scalar(symbols, i, count, channel, entries, escaped, first);
}

void entries_of_latent(const float* latent, size_t count, Quantiser quantiser,
                       const Channel& channel, uint16_t* entries, std::vector<Escaped>& escaped,
                       size_t first) {
  const __m256 gain = _mm256_set1_ps(quantiser.gain), median = _mm256_set1_ps(quantiser.median);
  const __m256 lowest = _mm256_set1_ps(-kSymbolLimit), highest = _mm256_set1_ps(kSymbolLimit);
  size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    __m256 value = _mm256_sub_ps(_mm256_mul_ps(_mm256_loadu_ps(latent + i), gain), median);
    value = _mm256_min_ps(_mm256_max_ps(value, lowest), highest);  // the second where not a number
    store_entries(_mm256_cvtps_epi32(value), i, count, channel, entries, escaped, first);
  }
  entries_of_latent_scalar(latent, i, count, quantiser, channel, entries, escaped, first);
}

// ---- encoding

inline __m128i two(const PackedPush* pushes, uint16_t a, uint16_t b) {
  return _mm_castps_si128(
      _mm_loadh_pi(_mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(pushes + a))),
                   reinterpret_cast<const __m64*>(pushes + b)));
}

// One step of eight lanes.
inline Vector push8(Vector state, const uint16_t* entries, const PackedPush* pushes,
                    uint16_t*& words) {
  const __m256 low = _mm256_castsi256_ps(
      _mm256_inserti128_si256(_mm256_castsi128_si256(two(pushes, entries[0], entries[1])),
                              two(pushes, entries[4], entries[5]), 1));
  const __m256 high = _mm256_castsi256_ps(
      _mm256_inserti128_si256(_mm256_castsi128_si256(two(pushes, entries[2], entries[3])),
                              two(pushes, entries[6], entries[7]), 1));
  const Vector interval = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88));
  const Vector packed = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xDD));
  const Vector limit = _mm256_and_si256(interval, set1(0xFFFC0000));
  const Vector start = _mm256_and_si256(_mm256_srli_epi32(interval, 4), set1(kTotal - 1));
  const Vector rest = _mm256_sub_epi32(set1(kTotal), _mm256_srli_epi32(interval, 18));
  const Vector shift = _mm256_and_si256(interval, set1(15));
  const Vector increment = _mm256_srli_epi32(packed, 31);
  const Vector multiplier = _mm256_or_si256(packed, set1(0x80000000));

  const Vector emits = _mm256_cmpeq_epi32(_mm256_max_epu32(state, limit), state);
  const uint32_t mask = _mm256_movemask_ps(_mm256_castsi256_ps(emits));
  const Vector lows = _mm256_and_si256(state, set1(0xFFFF));
  const __m128i narrow =
      _mm_packus_epi32(_mm256_castsi256_si128(lows), _mm256_extracti128_si256(lows, 1));
  const __m128i compression =
      _mm_load_si128(reinterpret_cast<const __m128i*>(kCompressions[mask].data()));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(words), _mm_shuffle_epi8(narrow, compression));
  words += __builtin_popcount(mask);
  state = _mm256_blendv_epi8(state, _mm256_srli_epi32(state, 16), emits);

  const Vector x = _mm256_add_epi32(state, increment);
  const Vector even = _mm256_srli_epi64(_mm256_mul_epu32(x, multiplier), 32);
  const Vector odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(multiplier, 32));
  const Vector quotient = _mm256_srlv_epi32(_mm256_blend_epi32(even, odd, 0xAA), shift);
  return _mm256_add_epi32(_mm256_add_epi32(state, start), _mm256_mullo_epi32(quotient, rest));
}

template <int Lanes>
uint16_t* encode_vectors(const uint16_t* entries, size_t count, const Channel& channel,
                         uint32_t* states, uint16_t* words) {
  constexpr int kVectors = Lanes / 8;
  const size_t remainder = count % Lanes;
  words = encode_remainder(entries, remainder, channel, Lanes, states, words);
  const PackedPush* pushes = channel.packed_pushes.data();
  Vector state[kVectors];
  for (int v = 0; v < kVectors; ++v)
    state[v] = _mm256_loadu_si256(reinterpret_cast<const Vector*>(states + kWidth * v));
  for (size_t k = remainder; k < count; k += Lanes)
    for (int v = 0; v < kVectors; ++v)
      state[v] = push8(state[v], entries + k + kWidth * v, pushes, words);
  for (int v = 0; v < kVectors; ++v)
    _mm256_storeu_si256(reinterpret_cast<Vector*>(states + kWidth * v), state[v]);
  return words;
}

uint16_t* encode(const uint16_t* entries, size_t count, const Channel& channel, int lanes,
                 uint32_t* states, uint16_t* words) {
  switch (lanes) {
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

// ---- entries to symbols and latents

inline void append_all(std::vector<size_t>& escapes, __m128i found, size_t first) {
  const __m128i bytes = _mm_packs_epi16(found, _mm_setzero_si128());
  for (uint32_t mask = _mm_movemask_epi8(bytes); mask; mask &= mask - 1)
    append(escapes, first + __builtin_ctz(mask));
}

void symbols_of_entries(const uint16_t* entries, size_t count, const Channel& channel,
                        int16_t* symbols, std::vector<size_t>& escapes, size_t first) {
  const __m128i offset = _mm_set1_epi16(static_cast<int16_t>(channel.offset));
  const __m128i escape = _mm_set1_epi16(static_cast<int16_t>(channel.length));
  size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    const __m128i entry = _mm_loadu_si128(reinterpret_cast<const __m128i*>(entries + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(symbols + i), _mm_add_epi16(entry, offset));
    append_all(escapes, _mm_cmpeq_epi16(entry, escape), first + i);
  }
  symbols_of_entries_scalar(entries, i, count, channel, symbols, escapes, first);
}

void latent_of_entries(const uint16_t* entries, size_t count, Dequantiser dequantiser,
                       const Channel& channel, float* latent, std::vector<size_t>& escapes,
                       size_t first) {
  const Vector offset = set1(channel.offset);
  const __m128i escape = _mm_set1_epi16(static_cast<int16_t>(channel.length));
  const __m256 gain = _mm256_set1_ps(dequantiser.gain), median = _mm256_set1_ps(dequantiser.median);
  size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    const __m128i entry = _mm_loadu_si128(reinterpret_cast<const __m128i*>(entries + i));
    const __m256 symbol =
        _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_cvtepu16_epi32(entry), offset));
    _mm256_storeu_ps(latent + i, _mm256_mul_ps(_mm256_add_ps(symbol, median), gain));
    append_all(escapes, _mm_cmpeq_epi16(entry, escape), first + i);
  }
  latent_of_entries_scalar(entries, i, count, dequantiser, channel, latent, escapes, first);
}

}  // namespace

const RowKernels kAvx2Rows = {entries_of_symbols, entries_of_latent,  encode,
                              decode_scalar,      symbols_of_entries, latent_of_entries};

}  // namespace narrows
