// What an instruction set brings to a head: a row of a convolution, and what happens to rows.
//
// Rows are pixel by pixel, channels together; channels are filled up to a multiple of 16 with
// zeros.
#pragma once

#include <cstddef>
#include <cstdint>

#include "head/plan.h"
#include "isa.h"

namespace narrows {

constexpr size_t kChannelsTogether = 16;

// A convolution packed for rows: for each block of output channels, `kernel` runs of input numbers
// that lie together in a row. Integer weights lie in fours along the run.
template <typename Weight>
struct PackedConvolution {
  size_t outputs;  // filled up
  size_t block;    // output channels that a tile makes at once
  size_t kernel;   // rows
  size_t run;      // numbers of an input row that a pixel needs, filled up to fours for integers
  size_t step;     // numbers from one output pixel to the next
  const Weight* weights;
};

// How many sums are in registers at once: vectors of output channels, of that many pixels.
struct Tile {
  int vectors, pixels;
};

using FloatConvolution = PackedConvolution<float>;
using IntegerConvolution = PackedConvolution<int8_t>;

struct FloatTiles {
  size_t (*block)(size_t outputs);
  void (*convolve)(const FloatConvolution& convolution, const float* bias, const float* const* rows,
                   size_t pixels, float* out);
};

// Products of unsigned inputs and signed weights, summed exactly. `offset` (int32, outputs) is what
// the sum starts with; then out = float(sum) * scale + bias, rounded apart.
struct IntegerTiles {
  size_t (*block)(size_t outputs);
  void (*convolve)(const IntegerConvolution& convolution, const int32_t* offset, const float* scale,
                   const float* bias, const uint8_t* const* rows, size_t pixels, float* out);
  int input_shift;  // added to unsigned inputs before they are multiplied: 0 or -128
};

// Compiled with the integer tiles: sums and products are rounded apart.
struct RowFunctions {
  void (*combine)(Combination combination, const float* source, size_t count, float* value);
  void (*apply)(Function function, const float* value, size_t count, float* out);
  void (*quantise)(Function function, const float* value, size_t count, float steps_per_unit,
                   float zero, uint8_t* out);
};

struct HeadKernels {
  const FloatTiles& floats;
  const IntegerTiles& integers;
  const RowFunctions& rows;
};

// Throws std::runtime_error where this machine or build lacks it.
HeadKernels head_kernels(Isa isa);

}  // namespace narrows
