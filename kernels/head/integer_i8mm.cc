// Armv8.6 SUDOT: signed weights by unsigned inputs.
#include "head/integer_neon.h"

namespace narrows {
namespace {

constexpr int kFours = 4;  // a lane of the inputs each

using Sums = int32x4_t;
using Weights = int8x16_t;
using Inputs = uint8x16_t;

inline Sums sums_at(const int32_t* from) { return vld1q_s32(from); }
inline Weights weights_at(const int8_t* from) { return vld1q_s8(from); }
inline Inputs inputs_at(const uint8_t* from) { return vld1q_u8(from); }
template <int Four>
inline Sums dot(Sums sums, Inputs inputs, Weights weights) {
  return vsudotq_laneq_s32(sums, weights, inputs, Four);
}
inline void finish(Sums sums, const float* scale, const float* bias, float* out) {
  finish_four(sums, scale, bias, out);
}

}  // namespace
}  // namespace narrows

#include "head/integer_tile.h"

namespace narrows {
extern const IntegerTiles kI8mmIntegers;
const IntegerTiles kI8mmIntegers = {integer_block, convolve_integers, 0};
}  // namespace narrows
