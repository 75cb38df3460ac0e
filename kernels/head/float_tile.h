// A tile of a convolution in floating point: `Pixels` x `Vectors` sums in registers, a weight
// vector loaded once for all pixels, an input number broadcast once for all channels. The including
// file defines kWidth, the floats of a vector, and kTiles, up to three shapes of tiles, the
// preferred first and one of a single vector last.
//
// All of it is static: every instruction set compiles its own. Multiply-add may round once.
#pragma once

#include <cstring>
#include <iterator>

#include "head/tiles.h"

namespace narrows {
namespace {

typedef float Vector __attribute__((vector_size(4 * kWidth)));

inline Vector load(const float* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

template <int Vectors, int Pixels>
inline void float_tile(const FloatConvolution& c, const float* weights, const float* bias,
                       const float* const* rows, size_t first, float* out) {
  Vector sums[Pixels][Vectors];
  for (int p = 0; p < Pixels; ++p)
    for (int v = 0; v < Vectors; ++v) sums[p][v] = load(bias + v * kWidth);
  for (size_t y = 0; y < c.kernel; ++y) {
    const float* in = rows[y] + first * c.step;
    for (size_t k = 0; k < c.run; ++k, weights += Vectors * kWidth) {
      Vector weight[Vectors];
      for (int v = 0; v < Vectors; ++v) weight[v] = load(weights + v * kWidth);
#pragma GCC unroll 16
      for (int p = 0; p < Pixels; ++p) {
        const float input = in[p * c.step + k];
        for (int v = 0; v < Vectors; ++v) sums[p][v] += weight[v] * input;
      }
    }
  }
  for (int p = 0; p < Pixels; ++p)
    for (int v = 0; v < Vectors; ++v)
      std::memcpy(out + (first + p) * c.outputs + v * kWidth, &sums[p][v], sizeof(Vector));
}

// `Pixels` at once as long as they last, then half as many.
template <int Vectors, int Pixels>
inline void float_row(const FloatConvolution& c, const float* weights, const float* bias,
                      const float* const* rows, size_t first, size_t pixels, float* out) {
  for (; first + Pixels <= pixels; first += Pixels)
    float_tile<Vectors, Pixels>(c, weights, bias, rows, first, out);
  if constexpr (Pixels > 1)
    if (first < pixels) float_row<Vectors, Pixels / 2>(c, weights, bias, rows, first, pixels, out);
}

size_t float_block(size_t outputs) {
  for (const Tile tile : kTiles)
    if (outputs % (tile.vectors * kWidth) == 0) return tile.vectors * kWidth;
  return kWidth;
}

template <int Index>
inline void float_blocks(const FloatConvolution& c, const float* bias, const float* const* rows,
                         size_t pixels, float* out) {
  const size_t size = c.kernel * c.run * c.block;
  for (size_t first = 0; first < c.outputs; first += c.block)
    float_row<kTiles[Index].vectors, kTiles[Index].pixels>(
        c, c.weights + first / c.block * size, bias + first, rows, 0, pixels, out + first);
}

void convolve_floats(const FloatConvolution& c, const float* bias, const float* const* rows,
                     size_t pixels, float* out) {
  constexpr int kLast = std::size(kTiles) - 1;
  if (c.block == size_t(kTiles[0].vectors * kWidth))
    return float_blocks<0>(c, bias, rows, pixels, out);
  if (kLast > 1 && c.block == size_t(kTiles[kLast > 1].vectors * kWidth))
    return float_blocks<(kLast > 1)>(c, bias, rows, pixels, out);
  float_blocks<kLast>(c, bias, rows, pixels, out);
}

}  // namespace
}  // namespace narrows
