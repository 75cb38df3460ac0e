// A block's work on a tile of the product: its threads load blocks of both factors, multiply what
// they loaded, and so on to the end of the depth; in between the block waits for all of its
// threads.
//
// Entries are two digits, x = low + 2^31 high, and modulo 2^61 - 1 2^62 is 2:
//   x y = (low low' + 2 high high') + 2^31 (low high' + high low'),
// four 32 x 32 -> 64 bit multiply-adds, whose sums are folded once in kTerms terms. Without signs,
// unlike field/tile.h: a GPU multiplies unsigned words as fast, and needs no second form of the
// factors.
#pragma once

#include "field/mersenne.h"

namespace narrows::cuda {

constexpr uint32_t kSide = 64;                // rows and columns of a tile
constexpr uint32_t kDeep = 16;                // of the blocks that are loaded
constexpr uint32_t kThreads = 16;             // along either side
constexpr uint32_t kEach = kSide / kThreads;  // rows, and columns, of a thread
constexpr uint32_t kTerms = 2;

struct Digits {
  uint32_t low, high;  // below 2^31 and 2^30
};

struct Factors {
  const uint64_t *left, *right;
  size_t rows, depth, columns;
};

struct Loaded {
  Digits left[kDeep][kSide], right[kDeep][kSide];
};

// A sum of products. Of 61 bits a term of `straight` is below 2^62 + 2^61, of `crossed` below 2^62;
// a fold leaves at most p + 7: kTerms = 2 terms stay below 2^61 + 7 + 3 2^62 < 2^64. Of 31 bits
// terms of `straight` are below 2^62 and a fold leaves less than 2^34.
template <int Bits>
struct Sum {
  uint64_t straight = 0, crossed = 0;
};

template <int Bits>
NARROWS_DEVICE void add(Sum<Bits>& sum, Digits a, Digits b) {
  sum.straight += uint64_t{a.low} * b.low;
  if constexpr (Bits == 61) {
    sum.straight += uint64_t{2 * a.high} * b.high;
    sum.crossed += uint64_t{a.low} * b.high;
    sum.crossed += uint64_t{a.high} * b.low;
  }
}

template <int Bits>
NARROWS_DEVICE void fold(Sum<Bits>& sum) {
  sum.straight = folded<Bits>(sum.straight);
  if constexpr (Bits == 61) sum.crossed = folded<Bits>(sum.crossed);
}

// Below p, of a sum that was folded. Folded again, it is at most p + 8 of 31 bits, and p of 61.
template <int Bits>
NARROWS_DEVICE uint64_t value(const Sum<Bits>& sum) {
  uint64_t total = residue<Bits>(folded<Bits>(sum.straight));
  if constexpr (Bits == 61) total += rotated<Bits>(folded<Bits>(sum.crossed), 31);
  return residue<Bits>(total);
}

// Digits of an entry, or of nothing beyond the edge. `seen` collects the entries' evidence.
template <int Bits>
NARROWS_DEVICE Digits digits(const uint64_t* entries, size_t at, bool inside, uint64_t& seen) {
  if (!inside) return {0, 0};
  const uint64_t x = entries[at];
  seen |= evidence(x);
  return {static_cast<uint32_t>(x & kPrime<31>), static_cast<uint32_t>(x >> 31)};
}

// Thread `thread` of a block of kThreads^2 loads its entries at depth l of the tile at (row,
// column).
template <int Bits>
NARROWS_DEVICE void load(Loaded& loaded, const Factors& of, size_t row, size_t column, size_t l,
                         uint32_t thread, uint64_t& seen) {
  for (uint32_t i = thread; i < kSide * kDeep; i += kThreads * kThreads) {
    // Neighbouring threads read neighbouring words: along the depth of the left factor, along the
    // columns of the right one.
    const uint32_t r = i / kDeep, d = i % kDeep, c = i % kSide, e = i / kSide;
    loaded.left[d][r] = digits<Bits>(of.left, (row + r) * of.depth + l + d,
                                     row + r < of.rows && l + d < of.depth, seen);
    loaded.right[e][c] = digits<Bits>(of.right, (l + e) * of.columns + column + c,
                                      l + e < of.depth && column + c < of.columns, seen);
  }
}

// A thread's sums are of rows and columns kThreads apart: neighbours read neighbouring words.
template <int Bits>
NARROWS_DEVICE void multiply(const Loaded& loaded, uint32_t thread,
                             Sum<Bits> (&sums)[kEach][kEach]) {
  const uint32_t x = thread % kThreads, y = thread / kThreads;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (uint32_t d = 0; d < kDeep; d += kTerms) {
    for (uint32_t t = d; t < d + kTerms; ++t) {
      Digits left[kEach], right[kEach];
      for (uint32_t i = 0; i < kEach; ++i) {
        left[i] = loaded.left[t][y + i * kThreads];
        right[i] = loaded.right[t][x + i * kThreads];
      }
      for (uint32_t i = 0; i < kEach; ++i)
        for (uint32_t j = 0; j < kEach; ++j) add(sums[i][j], left[i], right[j]);
    }
    for (uint32_t i = 0; i < kEach; ++i)
      for (uint32_t j = 0; j < kEach; ++j) fold(sums[i][j]);
  }
}

template <int Bits>
NARROWS_DEVICE void store(const Sum<Bits> (&sums)[kEach][kEach], const Factors& of, size_t row,
                          size_t column, uint32_t thread, uint64_t* out) {
  const uint32_t x = thread % kThreads, y = thread / kThreads;
  for (uint32_t i = 0; i < kEach; ++i)
    for (uint32_t j = 0; j < kEach; ++j) {
      const size_t r = row + y + i * kThreads, c = column + x + j * kThreads;
      if (r < of.rows && c < of.columns) out[r * of.columns + c] = value(sums[i][j]);
    }
}

}  // namespace narrows::cuda
