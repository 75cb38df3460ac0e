// NEON of every 64-bit Arm (Cortex-A72): products of signed bytes, so inputs are shifted by -128;
// two products of a pair of weights within +-127 stay within 16 bits.
#include "head/integer_neon.h"

#include <cstring>

namespace narrows {
namespace {

constexpr int kFours = 1;

struct Sums {
  int32x4_t low, high;  // two partial sums of each channel
};
using Weights = int8x16_t;
using Inputs = int8x8_t;

inline Sums sums_at(const int32_t* from) {
  const int32x4_t zeros = vdupq_n_s32(0), offset = vld1q_s32(from);
  return {vzip1q_s32(offset, zeros), vzip2q_s32(offset, zeros)};
}
inline Weights weights_at(const int8_t* from) { return vld1q_s8(from); }
inline Inputs inputs_at(const uint8_t* from) {
  int32_t four;
  std::memcpy(&four, from, 4);
  return veor_s8(vreinterpret_s8_s32(vdup_n_s32(four)), vdup_n_s8(-128));
}
template <int>
inline Sums dot(Sums sums, Inputs inputs, Weights weights) {
  sums.low = vpadalq_s16(sums.low, vmull_s8(inputs, vget_low_s8(weights)));
  sums.high = vpadalq_s16(sums.high, vmull_s8(inputs, vget_high_s8(weights)));
  return sums;
}
inline void finish(Sums sums, const float* scale, const float* bias, float* out) {
  finish_four(vpaddq_s32(sums.low, sums.high), scale, bias, out);
}

}  // namespace
}  // namespace narrows

#include "head/integer_tile.h"
#include "head/row_functions.h"

namespace narrows {
extern const IntegerTiles kNeonIntegers;
extern const RowFunctions kNeonRowFunctions;
const IntegerTiles kNeonIntegers = {integer_block, convolve_integers, -128};
const RowFunctions kNeonRowFunctions = {combine_rows, apply_to_row, quantise_row};
}  // namespace narrows
