// AVX-512: sixteen lanes to a vector, tables of up to 128 entries in registers.
//
// Encoding is bound by the chain through a state, 24 cycles a step on Zen 4: compare, shift,
// multiply, multiply, add. Decoding by its own, 50: bucket, entry, compare, multiply, compare,
// expand; two packets side by side take 36 each.
#include <immintrin.h>

#include "coder/rows_scalar.h"

namespace narrows {
namespace {

using Vector = __m512i;
constexpr size_t kWidth = 16;

inline Vector set1(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }

// A table of 32-bit numbers, in 1, 2, 4 or 8 registers, or in memory (0).
template <int Registers>
struct Table {
  Vector part[Registers];

  explicit Table(const uint32_t* values) {
    for (int i = 0; i < Registers; ++i) part[i] = _mm512_loadu_si512(values + kWidth * i);
  }

  Vector operator[](Vector index) const {
    if constexpr (Registers == 1) {
      return _mm512_permutexvar_epi32(index, part[0]);
    } else if constexpr (Registers == 2) {
      return _mm512_permutex2var_epi32(part[0], index, part[1]);
    } else if constexpr (Registers == 4) {
      return _mm512_mask_mov_epi32(_mm512_permutex2var_epi32(part[0], index, part[1]),
                                   _mm512_test_epi32_mask(index, set1(32)),
                                   _mm512_permutex2var_epi32(part[2], index, part[3]));
    } else {
      const __mmask16 odd = _mm512_test_epi32_mask(index, set1(32));
      const Vector low =
          _mm512_mask_mov_epi32(_mm512_permutex2var_epi32(part[0], index, part[1]), odd,
                                _mm512_permutex2var_epi32(part[2], index, part[3]));
      const Vector high =
          _mm512_mask_mov_epi32(_mm512_permutex2var_epi32(part[4], index, part[5]), odd,
                                _mm512_permutex2var_epi32(part[6], index, part[7]));
      return _mm512_mask_mov_epi32(low, _mm512_test_epi32_mask(index, set1(64)), high);
    }
  }
};

template <>
struct Table<0> {
  const uint32_t* values;
  explicit Table(const uint32_t* v) : values(v) {}
  Vector operator[](Vector index) const { return _mm512_i32gather_epi32(index, values, 4); }
};

// ---- latent and symbols to entries

// Sixteen symbols that begin `index` symbols into the row, in a row of `count`.
inline void store_entries(Vector symbols, size_t index, size_t count, const Channel& channel,
                          uint16_t* entries, std::vector<Escaped>& escaped, size_t first) {
  const Vector length = set1(channel.length);
  const Vector entry = _mm512_sub_epi32(symbols, set1(channel.offset));
  __mmask16 outside = _mm512_cmpge_epu32_mask(entry, length);
  const __m256i reverse = _mm256_set_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m256i narrow = _mm512_cvtepi32_epi16(_mm512_min_epu32(entry, length));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(entries + count - index - kWidth),
                      _mm256_permutexvar_epi16(reverse, narrow));
  if (__builtin_expect(outside != 0, 0)) {
    alignas(64) int32_t values[kWidth];
    _mm512_store_si512(values, symbols);
    for (; outside; outside &= outside - 1) {
      const int j = __builtin_ctz(outside);
      append(escaped, first + index + j, static_cast<int16_t>(values[j]));
    }
  }
}

void entries_of_symbols(const int16_t* symbols, size_t count, const Channel& channel,
                        uint16_t* entries, std::vector<Escaped>& escaped, size_t first) {
  size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    const __m256i narrow = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(symbols + i));
    store_entries(_mm512_cvtepi16_epi32(narrow), i, count, channel, entries, escaped, first);
  }
  entries_of_symbols_scalar(symbols, i, count, channel, entries, escaped, first);
}

void entries_of_latent(const float* latent, size_t count, Quantiser quantiser,
                       const Channel& channel, uint16_t* entries, std::vector<Escaped>& escaped,
                       size_t first) {
  const __m512 gain = _mm512_set1_ps(quantiser.gain), median = _mm512_set1_ps(quantiser.median);
  const __m512 lowest = _mm512_set1_ps(-kSymbolLimit), highest = _mm512_set1_ps(kSymbolLimit);
  size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    __m512 value = _mm512_sub_ps(_mm512_mul_ps(_mm512_loadu_ps(latent + i), gain), median);
    value = _mm512_min_ps(_mm512_max_ps(value, lowest), highest);  // the second where not a number
    store_entries(_mm512_cvtps_epi32(value), i, count, channel, entries, escaped, first);
  }
  entries_of_latent_scalar(latent, i, count, quantiser, channel, entries, escaped, first);
}

// ---- encoding

// One step of sixteen lanes.
template <typename T>
inline Vector push16(Vector state, Vector index, const T& intervals, const T& multipliers,
                     uint16_t*& words) {
  const Vector interval = intervals[index], packed = multipliers[index];
  const Vector limit = _mm512_and_si512(interval, set1(0xFFFC0000));
  const Vector start = _mm512_and_si512(_mm512_srli_epi32(interval, 4), set1(kTotal - 1));
  const Vector rest = _mm512_sub_epi32(set1(kTotal), _mm512_srli_epi32(interval, 18));
  const Vector shift = _mm512_and_si512(interval, set1(15));
  const Vector increment = _mm512_srli_epi32(packed, 31);
  const Vector multiplier = _mm512_or_si512(packed, set1(0x80000000));

  __mmask16 emits = _mm512_cmpge_epu32_mask(state, limit);
  asm("" : "+Yk"(emits));  // not in k0, from where it would be moved before every use
  const __m256i low = _mm512_cvtepi32_epi16(state);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), _mm256_maskz_compress_epi16(emits, low));
  words += __builtin_popcount(emits);
  state = _mm512_mask_srli_epi32(state, emits, state, 16);

  const Vector x = _mm512_add_epi32(state, increment);
  const Vector even = _mm512_srli_epi64(_mm512_mul_epu32(x, multiplier), 32);
  const Vector odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(multiplier, 32));
  const Vector quotient = _mm512_srlv_epi32(_mm512_mask_mov_epi32(even, 0xAAAA, odd), shift);
  return _mm512_add_epi32(_mm512_add_epi32(state, start), _mm512_mullo_epi32(quotient, rest));
}

template <int Lanes, int Registers>
uint16_t* encode_groups(const uint16_t* entries, size_t count, const Channel& channel,
                        uint32_t* states, uint16_t* words) {
  constexpr int kVectors = Lanes / 16;
  const Table<Registers> intervals(channel.push_intervals.data());
  const Table<Registers> multipliers(channel.push_multipliers.data());
  Vector state[kVectors];
  for (int v = 0; v < kVectors; ++v) state[v] = _mm512_loadu_si512(states + kWidth * v);
  for (size_t k = 0; k < count; k += Lanes)
    for (int v = 0; v < kVectors; ++v) {
      const auto* narrow = reinterpret_cast<const __m256i*>(entries + k + kWidth * v);
      state[v] = push16(state[v], _mm512_cvtepu16_epi32(_mm256_loadu_si256(narrow)), intervals,
                        multipliers, words);
    }
  for (int v = 0; v < kVectors; ++v) _mm512_storeu_si512(states + kWidth * v, state[v]);
  return words;
}

template <int Lanes>
uint16_t* encode_lanes_of(const uint16_t* entries, size_t count, const Channel& channel,
                          uint32_t* states, uint16_t* words) {
  const size_t remainder = count % Lanes, length = channel.length;
  words = encode_remainder(entries, remainder, channel, Lanes, states, words);
  entries += remainder;
  count -= remainder;
  if (length < 16) return encode_groups<Lanes, 1>(entries, count, channel, states, words);
  if (length < 32) return encode_groups<Lanes, 2>(entries, count, channel, states, words);
  if (length < 64) return encode_groups<Lanes, 4>(entries, count, channel, states, words);
  if (length < 128) return encode_groups<Lanes, 8>(entries, count, channel, states, words);
  return encode_groups<Lanes, 0>(entries, count, channel, states, words);
}

uint16_t* encode(const uint16_t* entries, size_t count, const Channel& channel, int lanes,
                 uint32_t* states, uint16_t* words) {
  switch (lanes) {
    case 16:
      return encode_lanes_of<16>(entries, count, channel, states, words);
    case 32:
      return encode_lanes_of<32>(entries, count, channel, states, words);
    case 64:
      return encode_lanes_of<64>(entries, count, channel, states, words);
    default:
      return kAvx2Rows.encode(entries, count, channel, lanes, states, words);
  }
}

// ---- decoding

// Finds the slots' entries and their intervals. Small tables lie in registers with the entry that
// holds the first of every 64 codepoints; most buckets hold two boundaries at most, so the next two
// entries are tried at once. Larger ones are gathered, codepoint by codepoint.
template <int Registers>
struct Search {
  static constexpr bool kBuckets = Registers == 1 || Registers == 2;
  Table<Registers> intervals;
  const uint8_t* entries;
  Vector bucket[kBuckets ? 4 : 1];

  Search(const Channel& channel, const ChannelDecoding& decoding)
      : intervals(channel.pop_intervals.data()), entries(decoding.entry.data()) {
    if constexpr (kBuckets)
      for (int i = 0; i < 4; ++i) bucket[i] = _mm512_loadu_si512(decoding.bucket.data() + 64 * i);
  }

  void operator()(Vector state, Vector& entry, Vector& interval) const {
    const Vector slot = _mm512_and_si512(state, set1(kTotal - 1));
    if constexpr (kBuckets) {
      const Vector key = _mm512_or_si512(_mm512_slli_epi32(state, 18), set1(kTotal - 1));
      const Vector one = set1(1);
      entry = first_of_bucket(state);
      interval = intervals[entry];
      const Vector second = intervals[_mm512_add_epi32(entry, one)];
      const Vector third = intervals[_mm512_add_epi32(entry, set1(2))];
      const __mmask16 beyond = _mm512_cmple_epu32_mask(second, key);
      const __mmask16 far = _mm512_cmple_epu32_mask(third, key);
      interval = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(interval, beyond, second), far, third);
      entry = _mm512_mask_add_epi32(entry, beyond, entry, one);
      entry = _mm512_mask_add_epi32(entry, far, entry, one);
      for (__mmask16 further; __builtin_expect((further = ends_before(interval, slot)) != 0, 0);) {
        entry = _mm512_mask_add_epi32(entry, further, entry, one);
        interval = intervals[entry];
      }
    } else {
      entry = _mm512_and_si512(_mm512_i32gather_epi32(slot, entries, 1), set1(0xFF));
      interval = intervals[entry];
    }
  }

 private:
  // Bits 6 to 13 of a state are its bucket.
  Vector first_of_bucket(Vector state) const {
    constexpr __mmask64 kLowBytes = 0x1111111111111111;
    const Vector index = _mm512_srli_epi32(state, 6);
    const Vector low = _mm512_maskz_permutex2var_epi8(kLowBytes, bucket[0], index, bucket[1]);
    const Vector high = _mm512_maskz_permutex2var_epi8(kLowBytes, bucket[2], index, bucket[3]);
    return _mm512_mask_mov_epi32(low, _mm512_test_epi32_mask(state, set1(1u << 13)), high);
  }

  static __mmask16 ends_before(Vector interval, Vector slot) {
    const Vector frequency = _mm512_and_si512(interval, set1(kTotal - 1));
    const Vector within = _mm512_sub_epi32(slot, _mm512_srli_epi32(interval, 18));
    return _mm512_cmpge_epu32_mask(within, frequency);
  }
};

// One step of sixteen lanes; the entries go to `entries`.
template <int Registers>
inline Vector pop16(Vector state, const Search<Registers>& search, const uint8_t*& next,
                    uint16_t* entries) {
  Vector entry, interval;
  search(state, entry, interval);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(entries), _mm512_cvtepi32_epi16(entry));
  const Vector frequency = _mm512_and_si512(interval, set1(kTotal - 1));
  const Vector within =
      _mm512_sub_epi32(_mm512_and_si512(state, set1(kTotal - 1)), _mm512_srli_epi32(interval, 18));
  const Vector quotient = _mm512_srli_epi32(state, kPrecision);
  state = _mm512_add_epi32(_mm512_mullo_epi32(frequency, quotient), within);
  __mmask16 needs = _mm512_cmplt_epu32_mask(state, set1(kLower));
  asm("" : "+Yk"(needs));  // not in k0, from where it would be moved before every use
  const Vector words =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(next)));
  next += 2 * __builtin_popcount(needs);
  return _mm512_mask_or_epi32(state, needs, _mm512_slli_epi32(state, 16),
                              _mm512_maskz_expand_epi32(needs, words));
}

// Whole groups while a word for every lane is left; returns how many entries that made.
template <int Lanes, int Packets, int Registers>
size_t decode_vectors(Cursor* const* cursors, size_t count, const Channel& channel,
                      const ChannelDecoding& decoding, uint16_t* const* entries) {
  constexpr int kVectors = Lanes / 16;
  const Search<Registers> search(channel, decoding);
  Vector state[Packets][kVectors];
  const uint8_t* next[Packets];
  for (int p = 0; p < Packets; ++p) {
    next[p] = cursors[p]->next;
    for (int v = 0; v < kVectors; ++v)
      state[p][v] = _mm512_loadu_si512(cursors[p]->states + kWidth * v);
  }
  auto enough = [&] {
    for (int p = 0; p < Packets; ++p)
      if (cursors[p]->end - next[p] < 2 * Lanes) return false;
    return true;
  };
  size_t i = 0;
  for (; i + Lanes <= count && enough(); i += Lanes)
    for (int v = 0; v < kVectors; ++v)
      for (int p = 0; p < Packets; ++p)
        state[p][v] = pop16(state[p][v], search, next[p], entries[p] + i + kWidth * v);
  for (int p = 0; p < Packets; ++p) {
    cursors[p]->next = next[p];
    for (int v = 0; v < kVectors; ++v)
      _mm512_storeu_si512(cursors[p]->states + kWidth * v, state[p][v]);
  }
  return i;
}

template <int Lanes, int Packets>
size_t decode_groups_of(Cursor* const* cursors, size_t count, const Channel& channel,
                        const ChannelDecoding& decoding, uint16_t* const* entries) {
  const size_t length = channel.length;
  if (decoding.entry.empty()) return 0;
  // Two entries past the escape are looked up as well where there are buckets.
  if (length < 14)
    return decode_vectors<Lanes, Packets, 1>(cursors, count, channel, decoding, entries);
  if (length < 30)
    return decode_vectors<Lanes, Packets, 2>(cursors, count, channel, decoding, entries);
  if (length < 64)
    return decode_vectors<Lanes, Packets, 4>(cursors, count, channel, decoding, entries);
  if (length < 128)
    return decode_vectors<Lanes, Packets, 8>(cursors, count, channel, decoding, entries);
  return decode_vectors<Lanes, Packets, 0>(cursors, count, channel, decoding, entries);
}

template <int Packets>
size_t decode_groups_for(Cursor* const* cursors, size_t count, const Channel& channel,
                         const ChannelDecoding& decoding, int lanes, uint16_t* const* entries) {
  switch (lanes) {
    case 16:
      return decode_groups_of<16, Packets>(cursors, count, channel, decoding, entries);
    case 32:
      return decode_groups_of<32, Packets>(cursors, count, channel, decoding, entries);
    default:
      return decode_groups_of<64, Packets>(cursors, count, channel, decoding, entries);
  }
}

void decode(Cursor* const cursors[2], size_t count, const Channel& channel,
            const ChannelDecoding& decoding, int lanes, uint16_t* const entries[2]) {
  if (lanes < 16) return decode_scalar(cursors, count, channel, decoding, lanes, entries);
  const size_t together =
      cursors[1] ? decode_groups_for<2>(cursors, count, channel, decoding, lanes, entries) : 0;
  for (int p = 0; p < 2 && cursors[p]; ++p) {
    Cursor* const alone[1] = {cursors[p]};
    uint16_t* const into[1] = {entries[p] + together};
    const size_t done =
        together + decode_groups_for<1>(alone, count - together, channel, decoding, lanes, into);
    decode_one_scalar(*cursors[p], count - done, channel, decoding, lanes, entries[p] + done);
  }
}

// ---- entries to symbols and latent

void append_all(std::vector<size_t>& escapes, uint32_t mask, size_t first) {
  for (; mask; mask &= mask - 1) append(escapes, first + __builtin_ctz(mask));
}

void symbols_of_entries(const uint16_t* entries, size_t count, const Channel& channel,
                        int16_t* symbols, std::vector<size_t>& escapes, size_t first) {
  const __m512i offset = _mm512_set1_epi16(static_cast<int16_t>(channel.offset));
  const __m512i escape = _mm512_set1_epi16(static_cast<int16_t>(channel.length));
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m512i entry = _mm512_loadu_si512(entries + i);
    _mm512_storeu_si512(symbols + i, _mm512_add_epi16(entry, offset));
    append_all(escapes, _mm512_cmpeq_epi16_mask(entry, escape), first + i);
  }
  symbols_of_entries_scalar(entries, i, count, channel, symbols, escapes, first);
}

void latent_of_entries(const uint16_t* entries, size_t count, Dequantiser dequantiser,
                       const Channel& channel, float* latent, std::vector<size_t>& escapes,
                       size_t first) {
  const Vector offset = set1(channel.offset), escape = set1(channel.length);
  const __m512 gain = _mm512_set1_ps(dequantiser.gain), median = _mm512_set1_ps(dequantiser.median);
  size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    const Vector entry =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(entries + i)));
    const __m512 symbol = _mm512_cvtepi32_ps(_mm512_add_epi32(entry, offset));
    _mm512_storeu_ps(latent + i, _mm512_mul_ps(_mm512_add_ps(symbol, median), gain));
    append_all(escapes, _mm512_cmpeq_epi32_mask(entry, escape), first + i);
  }
  latent_of_entries_scalar(entries, i, count, dequantiser, channel, latent, escapes, first);
}

}  // namespace

const RowKernels kAvx512Rows = {entries_of_symbols, entries_of_latent, encode, decode,
                                symbols_of_entries, latent_of_entries};

}  // namespace narrows
