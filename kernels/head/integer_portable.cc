// Any processor.
#include <cstddef>
#include <cstdint>

#include "head/tiles.h"

namespace narrows {
namespace {

constexpr int kWidth = 4;
constexpr int kFours = 1;
constexpr Tile kTiles[] = {{1, 2}};

struct Sums {
  int32_t of[kWidth];
};
using Weights = const int8_t*;  // four for each sum
using Inputs = const uint8_t*;

inline Sums sums_at(const int32_t* from) { return {{from[0], from[1], from[2], from[3]}}; }
inline Weights weights_at(const int8_t* from) { return from; }
inline Inputs inputs_at(const uint8_t* from) { return from; }
template <int>
inline Sums dot(Sums sums, Inputs inputs, Weights weights) {
  for (int i = 0; i < kWidth; ++i)
    for (int k = 0; k < 4; ++k) sums.of[i] += inputs[k] * weights[4 * i + k];
  return sums;
}
inline void finish(Sums sums, const float* scale, const float* bias, float* out) {
  for (int i = 0; i < kWidth; ++i) {
    const float product = static_cast<float>(sums.of[i]) * scale[i];
    out[i] = product + bias[i];
  }
}

}  // namespace
}  // namespace narrows

#include "head/integer_tile.h"
#include "head/row_functions.h"

namespace narrows {
extern const IntegerTiles kPortableIntegers;
extern const RowFunctions kPortableRowFunctions;
const IntegerTiles kPortableIntegers = {integer_block, convolve_integers, 0};
const RowFunctions kPortableRowFunctions = {combine_rows, apply_to_row, quantise_row};
}  // namespace narrows
