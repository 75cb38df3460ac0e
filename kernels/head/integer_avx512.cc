// AVX-512 VNNI: sixteen sums to a vector, 64 products an instruction.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "head/tiles.h"

namespace narrows {
namespace {

constexpr int kWidth = 16;
constexpr int kFours = 1;
constexpr Tile kTiles[] = {{2, 14}, {3, 8}, {1, 14}};

using Sums = __m512i;
using Weights = __m512i;
using Inputs = __m512i;

inline Sums sums_at(const int32_t* from) { return _mm512_loadu_si512(from); }
inline Weights weights_at(const int8_t* from) { return _mm512_loadu_si512(from); }
inline Inputs inputs_at(const uint8_t* from) {
  int32_t four;
  std::memcpy(&four, from, 4);
  return _mm512_set1_epi32(four);
}
template <int>
inline Sums dot(Sums sums, Inputs inputs, Weights weights) {
  return _mm512_dpbusd_epi32(sums, inputs, weights);
}
inline void finish(Sums sums, const float* scale, const float* bias, float* out) {
  const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_loadu_ps(scale));
  _mm512_storeu_ps(out, _mm512_add_ps(product, _mm512_loadu_ps(bias)));
}

}  // namespace
}  // namespace narrows

#include "head/integer_tile.h"
#include "head/row_functions.h"

namespace narrows {
extern const IntegerTiles kAvx512Integers;
extern const RowFunctions kAvx512RowFunctions;
const IntegerTiles kAvx512Integers = {integer_block, convolve_integers, 0};
const RowFunctions kAvx512RowFunctions = {combine_rows, apply_to_row, quantise_row};
}  // namespace narrows
