// AVX2: bytes 0 and 2 of four, then 1 and 3, as pairs of 16 bits: exact where maddubs saturates.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "head/tiles.h"

namespace narrows {
namespace {

constexpr int kWidth = 8;
constexpr int kFours = 1;
constexpr Tile kTiles[] = {{2, 4}, {1, 8}};

struct Pairs {
  __m256i even, odd;
};
using Sums = __m256i;
using Weights = Pairs;
using Inputs = Pairs;

inline Sums sums_at(const int32_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
inline Weights weights_at(const int8_t* from) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return {_mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), _mm256_srai_epi16(bytes, 8)};
}
inline Inputs inputs_at(const uint8_t* from) {
  int32_t four;
  std::memcpy(&four, from, 4);
  const __m256i fours = _mm256_set1_epi32(four);
  return {_mm256_and_si256(fours, _mm256_set1_epi16(0xFF)), _mm256_srli_epi16(fours, 8)};
}
template <int>
inline Sums dot(Sums sums, Inputs inputs, Weights weights) {
  sums = _mm256_add_epi32(sums, _mm256_madd_epi16(inputs.even, weights.even));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(inputs.odd, weights.odd));
}
inline void finish(Sums sums, const float* scale, const float* bias, float* out) {
  const __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(scale));
  _mm256_storeu_ps(out, _mm256_add_ps(product, _mm256_loadu_ps(bias)));
}

}  // namespace
}  // namespace narrows

#include "head/integer_tile.h"
#include "head/row_functions.h"

namespace narrows {
extern const IntegerTiles kAvx2Integers;
extern const RowFunctions kAvx2RowFunctions;
const IntegerTiles kAvx2Integers = {integer_block, convolve_integers, 0};
const RowFunctions kAvx2RowFunctions = {combine_rows, apply_to_row, quantise_row};
}  // namespace narrows
