// A tile of the product in vectors of 64-bit sums, by signed 32 x 32 -> 64 bit multiplications and
// lazy reduction (Dumas, Giorgi, Pernet, "Dense linear algebra over word-size prime fields", ACM
// TOMS 2008): sums are folded once every few products.
//
// The including file defines kWidth, the sums in a vector, and
//   Sums, a vector of uint64; Sums everywhere(uint64_t); void store(Sums, uint64_t*);
//   Digits, as many int32 in the form the multiplication takes; Digits everywhere(const char*);
//   Pair {Digits low, high}, pair_at(const uint64_t*): the halves of kWidth words;
//   Sums plus_product(Sums, Digits, Digits);
//   Sums folded_plus<Bits>(Sums x, Sums zero): (x & p) + (x >> Bits) + zero.
//
// Entries become signed digits: x = low + 2^31 high (modulo p) with |low| <= 2^30 and
// -2^29 <= high < 2^29 for 61 bits; for 31 bits |low| < 2^30 alone. Modulo 2^61 - 1 2^62 is 2, so
//   x y = (low low' + 2 high high') + 2^31 (low high' + high low').
#pragma once

#include <cstring>

#include "field/mersenne.h"
#include "field/tiles.h"

namespace narrows {
namespace {

template <int Bits>
struct Lazy;

// A term of a sum is at most (2^30 - 1)^2 in size, eight are 2^63 - 2^34 + 8. Starting from
// kZero = 2^63 - 2^32 plus at most 2^31 + 2^33 left by a fold, a sum stays within 0 and 2^64.
template <>
struct Lazy<31> {
  static constexpr size_t kTerms = 8, kSums = 1, kLeftWords = 1;
  static constexpr uint64_t kZero = kPrime<31> << 32;
};

// A term of the first sum is at most 2^60 + 2^59; it is above -(2^60 + 2^59) + 2^30, for low low' =
// -2^60 needs digits 2^30 and -2^30, of which the second only stands with high >= 0, so that 2 high
// high' > -2^59 + 2^30. Of the second sum a term is at most 2 x 2^59 in size. Starting from zero()
// = 3 2^61 - 3 plus at most 2^61 + 6 left by a fold, four terms stay within 0 and 2^64: 3 2^61 - 3
// - 4 (3 2^59 - 2^30) > 0 and 4 2^61 + 3 + 4 3 2^59 = 7 2^61 + 3 < 2^64.
template <>
struct Lazy<61> {
  static constexpr size_t kTerms = 4, kSums = 2, kLeftWords = 2;
  static constexpr uint64_t kZero = 3 * kPrime<61>;
};

// The digits of x: low in the lower half of the word, high in the upper.
template <int Bits>
inline uint64_t digits_of(uint64_t x);

template <>
inline uint64_t digits_of<31>(uint64_t x) {
  const uint64_t carry = (x + (1u << 30)) >> 31;  // 2^31 is 1
  return (x - (carry << 31) + carry) & 0xFFFFFFFF;
}

template <>
inline uint64_t digits_of<61>(uint64_t x) {
  x += 1u << 30;
  const uint64_t high = x >> 31, carry = (high + (1u << 29)) >> 30;  // 2^61 is 1
  const uint64_t low = (x & kPrime<31>)-(1u << 30) + carry;
  return (low & 0xFFFFFFFF) | (high - (carry << 30)) << 32;
}

// From here on a left panel has `Rows` rows and a right one `Vectors` vectors.

template <int Bits, size_t Rows>
uint64_t pack_left(const uint64_t* left, size_t stride, size_t count, size_t depth,
                   uint64_t* packed) {
  constexpr size_t words = Lazy<Bits>::kLeftWords;
  uint64_t seen = 0;
  std::memset(packed, 0, Rows * depth * words * sizeof *packed);
  for (size_t r = 0; r < count; ++r)
    for (size_t l = 0; l < depth; ++l) {
      const uint64_t x = left[r * stride + l], digits = digits_of<Bits>(x);
      uint64_t* to = packed + (l * Rows + r) * words;
      to[0] = digits;
      if (words == 2) to[1] = (digits >> 32) << 1;  // 2 high
      seen |= evidence(x);
    }
  return seen;
}

template <int Bits, size_t Columns>
uint64_t pack_right(const uint64_t* right, size_t stride, size_t count, size_t depth,
                    uint64_t* packed) {
  uint64_t seen = 0;
  for (size_t l = 0; l < depth; ++l, right += stride, packed += Columns) {
    if (count == Columns) {  // a constant, which compilers unroll
      for (size_t c = 0; c < Columns; ++c) {
        packed[c] = digits_of<Bits>(right[c]);
        seen |= evidence(right[c]);
      }
      continue;
    }
    for (size_t c = 0; c < Columns; ++c) packed[c] = 0;
    for (size_t c = 0; c < count; ++c) {
      packed[c] = digits_of<Bits>(right[c]);
      seen |= evidence(right[c]);
    }
  }
  return seen;
}

// Rows first to first + Count of a panel.
template <int Bits, size_t Rows, size_t Vectors, size_t Count>
inline void tile_rows(const uint64_t* left, const uint64_t* right, size_t depth, uint64_t* out,
                      size_t stride, size_t width) {
  constexpr size_t words = Lazy<Bits>::kLeftWords, kinds = Lazy<Bits>::kSums;
  constexpr size_t columns = Vectors * kWidth;
  const Sums zero = everywhere(Lazy<Bits>::kZero);
  Sums sums[Count][Vectors][kinds];
#pragma GCC unroll 16
  for (size_t r = 0; r < Count; ++r)
#pragma GCC unroll 16
    for (size_t v = 0; v < Vectors; ++v)
#pragma GCC unroll 2
      for (size_t s = 0; s < kinds; ++s) sums[r][v][s] = zero;

  for (size_t l = 0; l < depth;) {
    const size_t stop = l + Lazy<Bits>::kTerms < depth ? l + Lazy<Bits>::kTerms : depth;
    for (; l < stop; ++l) {
      Pair pairs[Vectors];
#pragma GCC unroll 16
      for (size_t v = 0; v < Vectors; ++v) pairs[v] = pair_at(right + l * columns + v * kWidth);
#pragma GCC unroll 16
      for (size_t r = 0; r < Count; ++r) {
        const char* entry = reinterpret_cast<const char*>(left + (l * Rows + r) * words);
        const Digits low = everywhere(entry);
#pragma GCC unroll 16
        for (size_t v = 0; v < Vectors; ++v)
          sums[r][v][0] = plus_product(sums[r][v][0], low, pairs[v].low);
        if constexpr (kinds == 2) {
#pragma GCC unroll 16
          for (size_t v = 0; v < Vectors; ++v)
            sums[r][v][1] = plus_product(sums[r][v][1], low, pairs[v].high);
          const Digits high = everywhere(entry + 4);
#pragma GCC unroll 16
          for (size_t v = 0; v < Vectors; ++v)
            sums[r][v][1] = plus_product(sums[r][v][1], high, pairs[v].low);
          const Digits twice = everywhere(entry + 8);
#pragma GCC unroll 16
          for (size_t v = 0; v < Vectors; ++v)
            sums[r][v][0] = plus_product(sums[r][v][0], twice, pairs[v].high);
        }
      }
    }
#pragma GCC unroll 16
    for (size_t r = 0; r < Count; ++r)
#pragma GCC unroll 16
      for (size_t v = 0; v < Vectors; ++v)
#pragma GCC unroll 2
        for (size_t s = 0; s < kinds; ++s) sums[r][v][s] = folded_plus<Bits>(sums[r][v][s], zero);
  }

#pragma GCC unroll 16
  for (size_t r = 0; r < Count; ++r) {
    uint64_t row[kinds][columns];
#pragma GCC unroll 16
    for (size_t v = 0; v < Vectors; ++v)
#pragma GCC unroll 2
      for (size_t s = 0; s < kinds; ++s) store(sums[r][v][s], row[s] + v * kWidth);
    // Of 61 bits a sum folds to at most p + 7, again to at most p; three such numbers are below
    // 2^63.
    for (size_t c = 0; c < columns; ++c) {
      uint64_t total = residue<Bits>(folded<Bits>(row[0][c]));
      if constexpr (kinds == 2) total += rotated<Bits>(folded<Bits>(folded<Bits>(row[1][c])), 31);
      row[0][c] = total;
    }
    uint64_t* to = out + r * stride;
    for (size_t c = 0; c < width; ++c) to[c] = residue<Bits>(to[c] + row[0][c]);
  }
}

template <int Bits, size_t Rows, size_t Vectors, size_t Count = Rows>
void multiply_tile(const uint64_t* left, const uint64_t* right, size_t depth, uint64_t* out,
                   size_t stride, size_t height, size_t width) {
  if constexpr (Count > 1)
    if (height < Count)
      return multiply_tile<Bits, Rows, Vectors, Count - 1>(left, right, depth, out, stride, height,
                                                           width);
  if (width == Vectors * kWidth)  // a constant, which compilers unroll
    return tile_rows<Bits, Rows, Vectors, Count>(left, right, depth, out, stride, Vectors * kWidth);
  tile_rows<Bits, Rows, Vectors, Count>(left, right, depth, out, stride, width);
}

template <int Bits, size_t Rows, size_t Vectors>
constexpr FieldTiles kTiles = {
    Rows,
    Vectors * kWidth,
    Lazy<Bits>::kLeftWords,
    pack_left<Bits, Rows>,
    pack_right<Bits, Vectors * kWidth>,
    multiply_tile<Bits, Rows, Vectors>,
};

}  // namespace
}  // namespace narrows
