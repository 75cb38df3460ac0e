// The same tile in integers: four inputs and four weights to a sum at a time. The including file
// defines kWidth and kTiles as for floats, and the types and functions of its dot product:
// Sums, Weights weights_at(const int8_t*), Inputs inputs_at(const uint8_t*) of kFours fours,
// dot<Four>(Sums, Inputs, Weights), sums_at(const int32_t*) and finish(Sums, const float* scale,
// const float* bias, float*).
//
// All of it is static: every instruction set compiles its own, and rounds products and sums apart.
#pragma once

#include <cstring>
#include <iterator>
#include <type_traits>
#include <utility>

#include "head/tiles.h"

namespace narrows {
namespace {

template <int Vectors, int Pixels>
inline void integer_tile(const IntegerConvolution& c, const int8_t* weights, const int32_t* offset,
                         const float* scale, const float* bias, const uint8_t* const* rows,
                         size_t first, float* out) {
  Sums sums[Pixels][Vectors];
  for (int p = 0; p < Pixels; ++p)
    for (int v = 0; v < Vectors; ++v) sums[p][v] = sums_at(offset + v * kWidth);
  for (size_t y = 0; y < c.kernel; ++y) {
    const uint8_t* in = rows[y] + first * c.step;
    for (size_t k = 0; k < c.run; k += 4 * kFours) {
      Inputs inputs[Pixels];
#pragma GCC unroll 16
      for (int p = 0; p < Pixels && kFours > 1; ++p) inputs[p] = inputs_at(in + p * c.step + k);
      const auto four = [&]<int Four>(std::integral_constant<int, Four>) {
        if (Four > 0 && k + 4 * Four >= c.run) return;
        Weights weight[Vectors];
        for (int v = 0; v < Vectors; ++v) weight[v] = weights_at(weights + 4 * v * kWidth);
        weights += 4 * Vectors * kWidth;
#pragma GCC unroll 16
        for (int p = 0; p < Pixels; ++p) {
          if (kFours == 1) inputs[p] = inputs_at(in + p * c.step + k);  // few registers
          for (int v = 0; v < Vectors; ++v)
            sums[p][v] = dot<Four>(sums[p][v], inputs[p], weight[v]);
        }
      };
      [&]<int... Four>(std::integer_sequence<int, Four...>) {
        (four(std::integral_constant<int, Four>{}), ...);
      }(std::make_integer_sequence<int, kFours>{});
    }
  }
  for (int p = 0; p < Pixels; ++p)
    for (int v = 0; v < Vectors; ++v)
      finish(sums[p][v], scale + v * kWidth, bias + v * kWidth,
             out + (first + p) * c.outputs + v * kWidth);
}

template <int Vectors, int Pixels>
inline void integer_row(const IntegerConvolution& c, const int8_t* weights, const int32_t* offset,
                        const float* scale, const float* bias, const uint8_t* const* rows,
                        size_t first, size_t pixels, float* out) {
  for (; first + Pixels <= pixels; first += Pixels)
    integer_tile<Vectors, Pixels>(c, weights, offset, scale, bias, rows, first, out);
  if constexpr (Pixels > 1)
    if (first < pixels)
      integer_row<Vectors, Pixels / 2>(c, weights, offset, scale, bias, rows, first, pixels, out);
}

size_t integer_block(size_t outputs) {
  for (const Tile tile : kTiles)
    if (outputs % (tile.vectors * kWidth) == 0) return tile.vectors * kWidth;
  return kWidth;
}

template <int Index>
inline void integer_blocks(const IntegerConvolution& c, const int32_t* offset, const float* scale,
                           const float* bias, const uint8_t* const* rows, size_t pixels,
                           float* out) {
  const size_t size = c.kernel * c.run * c.block;
  for (size_t first = 0; first < c.outputs; first += c.block)
    integer_row<kTiles[Index].vectors, kTiles[Index].pixels>(
        c, c.weights + first / c.block * size, offset + first, scale + first, bias + first, rows, 0,
        pixels, out + first);
}

void convolve_integers(const IntegerConvolution& c, const int32_t* offset, const float* scale,
                       const float* bias, const uint8_t* const* rows, size_t pixels, float* out) {
  constexpr int kLast = std::size(kTiles) - 1;
  if (c.block == size_t(kTiles[0].vectors * kWidth))
    return integer_blocks<0>(c, offset, scale, bias, rows, pixels, out);
  if (kLast > 1 && c.block == size_t(kTiles[kLast > 1].vectors * kWidth))
    return integer_blocks<(kLast > 1)>(c, offset, scale, bias, rows, pixels, out);
  integer_blocks<kLast>(c, offset, scale, bias, rows, pixels, out);
}

}  // namespace
}  // namespace narrows
