// Any processor: whole residues, products of up to 122 bits summed in 128.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "field/mersenne.h"
#include "field/tiles.h"

namespace narrows {
namespace {

constexpr size_t kRows = 2, kColumns = 2;
__extension__ typedef unsigned __int128 Wide;

// How many products are added between folds. For 61 bits 64 (p - 1)^2 = 2^128 - 2^69 + 2^8, and a
// fold leaves less than 2^68. For 31 bits 4 (p - 1)^2 = 2^64 - 2^35 + 2^4, and a fold leaves less
// than 2^34.
template <int Bits>
struct Lazy;
template <>
struct Lazy<31> {
  using Sum = uint64_t;
  static constexpr size_t kTerms = 4;
};
template <>
struct Lazy<61> {
  using Sum = Wide;
  static constexpr size_t kTerms = 64;
};

uint64_t pack(const uint64_t* from, size_t along, size_t across, size_t count, size_t depth,
              size_t filled, uint64_t* packed) {
  uint64_t seen = 0;
  for (size_t l = 0; l < depth; ++l)
    for (size_t i = 0; i < filled; ++i) {
      const uint64_t x = i < count ? from[l * along + i * across] : 0;
      *packed++ = x;
      seen |= evidence(x);
    }
  return seen;
}

uint64_t pack_left(const uint64_t* left, size_t stride, size_t count, size_t depth,
                   uint64_t* packed) {
  return pack(left, 1, stride, count, depth, kRows, packed);
}

uint64_t pack_right(const uint64_t* right, size_t stride, size_t count, size_t depth,
                    uint64_t* packed) {
  return pack(right, stride, 1, count, depth, kColumns, packed);
}

template <int Bits>
void multiply_tile(const uint64_t* left, const uint64_t* right, size_t depth, uint64_t* out,
                   size_t stride, size_t height, size_t width) {
  using Sum = typename Lazy<Bits>::Sum;
  Sum sums[kRows][kColumns] = {};
  for (size_t l = 0; l < depth;) {
    const size_t stop = l + Lazy<Bits>::kTerms < depth ? l + Lazy<Bits>::kTerms : depth;
    for (; l < stop; ++l)
      for (size_t r = 0; r < kRows; ++r)
        for (size_t c = 0; c < kColumns; ++c)
          sums[r][c] += Sum{left[l * kRows + r]} * right[l * kColumns + c];
    for (size_t r = 0; r < kRows; ++r)
      for (size_t c = 0; c < kColumns; ++c)
        sums[r][c] = (sums[r][c] & kPrime<Bits>)+(sums[r][c] >> Bits);
  }
  for (size_t r = 0; r < height; ++r)
    for (size_t c = 0; c < width; ++c) {
      const Sum sum = (sums[r][c] & kPrime<Bits>)+(sums[r][c] >> Bits);
      uint64_t* to = out + r * stride + c;
      *to = residue<Bits>(*to + residue<Bits>(static_cast<uint64_t>(sum)));
    }
}

template <int Bits>
constexpr FieldTiles kTiles = {kRows, kColumns, 1, pack_left, pack_right, multiply_tile<Bits>};

}  // namespace

extern const FieldTiles kPortableField31, kPortableField61;
const FieldTiles kPortableField31 = kTiles<31>;
const FieldTiles kPortableField61 = kTiles<61>;

}  // namespace narrows
