// A block's work on a stage of an integer head: kPixels pixels of kChannels output channels. Its
// threads load words of inputs and of weights, add up their products, and so on to the end of the
// depth; in between the block waits for all of its threads. What follows the sums is one IEEE
// operation at a time, as in head/row_functions.h: the same latent, bit for bit.
//
// A word is four input channels of a pixel, so that a multiply-add of four bytes (dp4a) takes one.
// The depth is kernel row, kernel column, word. A stage leaves its features as the next one reads
// them, quantised, and its values in floating point only where somebody asks for them.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "cuda/host_device.h"
#include "head/plan.h"

namespace narrows::cuda {

constexpr uint32_t kPixels = 32, kChannels = 32;  // of a tile
constexpr uint32_t kWords = 16;                   // of the depth that are loaded at once
constexpr uint32_t kAcross = 16;                  // threads along the pixels
constexpr uint32_t kPerThread = 4;  // channels next to one another: a word of features
constexpr uint32_t kTilePixels = kPixels / kAcross;  // of a thread, kAcross apart
constexpr uint32_t kTileThreads = kAcross * kChannels / kPerThread;
constexpr uint32_t kLoads = kWords * kPixels / kTileThreads;  // of inputs, by a thread

// A stage as its blocks see it. `columns` are the outputs filled up to whole tiles.
struct StageView {
  const uint8_t* picture;    // RGB of the first stage, else
  const uint32_t* features;  // (height, width, words)
  uint32_t height, width, words;
  uint32_t border;  // the word outside of them
  uint32_t kernel, stride, pad;
  uint32_t out_height, out_width, outputs, columns;
  const uint32_t* weights;  // (kernel, kernel, words, columns)
  const int32_t* offsets;   // columns: what the sums start with
  const float *scales, *biases;
  Combination combination;
  const float* source;  // (outputs, out_height, out_width), as `values`
  Function after;
  float* values;   // or none
  uint32_t* next;  // (out_height, out_width, (outputs + 3) / 4), or none
  Function before_next;
  float next_steps, next_zero;

  NARROWS_DEVICE uint32_t depth() const { return kernel * kernel * words; }
  NARROWS_DEVICE uint32_t pixels() const { return out_height * out_width; }
  NARROWS_DEVICE uint32_t tiles_across() const { return (pixels() + kPixels - 1) / kPixels; }
  NARROWS_DEVICE uint32_t tiles_down() const { return columns / kChannels; }
};

// One more word to a row of inputs: neighbouring threads write neighbouring rows, and so to
// different banks.
struct HeadTile {
  alignas(16) uint32_t weights[kWords][kChannels];
  uint32_t inputs[kWords][kPixels + 1];
};

struct HeadSums {
  int32_t of[kTilePixels][kPerThread] = {};
};

// Four unsigned bytes by four signed ones.
NARROWS_DEVICE int32_t add_products(uint32_t inputs, uint32_t weights, int32_t sum) {
#ifdef __CUDA_ARCH__
  asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(inputs), "r"(weights));
#else
  for (uint32_t shift = 0; shift < 32; shift += 8)
    sum += static_cast<uint8_t>(inputs >> shift) * static_cast<int8_t>(weights >> shift);
#endif
  return sum;
}

// a b + c, a sum of a rounded product.
NARROWS_DEVICE float scaled(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(__fmul_rn(a, b), c);
#else
  volatile float product = a * b;  // never one fused operation
  return product + c;
#endif
}

NARROWS_DEVICE float combined(Combination combination, float source, float value) {
#ifdef __CUDA_ARCH__
  if (combination == Combination::add) return __fadd_rn(source, value);
  if (combination == Combination::divide) return __fdiv_rn(source, value);
#else
  if (combination == Combination::add) return source + value;
  if (combination == Combination::divide) return source / value;
#endif
  return value;
}

NARROWS_DEVICE uint32_t bits_of(float value) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(value);
#else
  return std::bit_cast<uint32_t>(value);
#endif
}

// No GELU: its curve is each machine's own.
NARROWS_DEVICE float through(Function function, float x) {
  if (function == Function::relu) return x > 0 ? x : 0;
  if (function == Function::absolute) return fabsf(x);
  return x;
}

// Within 0..255, half to even; 0 where it is not a number.
NARROWS_DEVICE uint32_t byte_of(float value, float steps, float zero) {
  float x = scaled(value, steps, zero);
  x = x > 0 ? x : 0;
  x = x < 255 ? x : 255;
  return bits_of(x + 8388608.0f) & 0xFF;
}

NARROWS_DEVICE uint32_t input_word(const StageView& stage, uint32_t y, uint32_t x, uint32_t word) {
  if (y >= stage.height || x >= stage.width) return stage.border;  // also where they wrapped around
  const size_t at = size_t{y} * stage.width + x;
  if (!stage.picture) return stage.features[at * stage.words + word];
  const uint8_t* pixel = stage.picture + 3 * at;
  return pixel[0] | pixel[1] << 8 | pixel[2] << 16;
}

// Where the windows of the pixels begin that a thread loads, at every depth the same ones. Above
// and left of the picture they wrap around, which is outside of it as well.
struct HeadCorners {
  uint32_t y[kLoads], x[kLoads];
};

NARROWS_DEVICE HeadCorners corners(const StageView& stage, uint32_t pixel, uint32_t thread) {
  HeadCorners found;
  for (uint32_t i = 0; i < kLoads; ++i) {
    const uint32_t at = pixel + thread / kWords + i * (kTileThreads / kWords);
    found.y[i] = at / stage.out_width * stage.stride - stage.pad;
    found.x[i] = at % stage.out_width * stage.stride - stage.pad;
  }
  return found;
}

// Thread `thread` of a block loads its words from the depth `from` on. Neighbouring threads read
// neighbouring words of a pixel, and neighbouring columns. Pixels beyond the last are stored
// nowhere, and inputs beyond the depth meet weights of zero: they may be anything.
NARROWS_DEVICE void load(HeadTile& tile, const StageView& stage, const HeadCorners& corners,
                         uint32_t column, uint32_t from, uint32_t thread) {
  const uint32_t d = thread % kWords, word = (from + d) % stage.words,
                 place = (from + d) / stage.words;
  const uint32_t row = place / stage.kernel, across = place % stage.kernel;
  for (uint32_t i = 0; i < kLoads; ++i)
    tile.inputs[d][thread / kWords + i * (kTileThreads / kWords)] =
        input_word(stage, corners.y[i] + row, corners.x[i] + across, word);
  for (uint32_t i = thread; i < kWords * kChannels; i += kTileThreads) {
    const uint32_t e = from + i / kChannels;
    const size_t at = size_t{e} * stage.columns + column + i % kChannels;
    tile.weights[i / kChannels][i % kChannels] = e < stage.depth() ? stage.weights[at] : 0;
  }
}

NARROWS_DEVICE void multiply(const HeadTile& tile, uint32_t thread, HeadSums& sums) {
  const uint32_t x = thread % kAcross, c = thread / kAcross * kPerThread;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (uint32_t d = 0; d < kWords; ++d)
    for (uint32_t i = 0; i < kTilePixels; ++i)
      for (uint32_t j = 0; j < kPerThread; ++j)
        sums.of[i][j] =
            add_products(tile.inputs[d][x + i * kAcross], tile.weights[d][c + j], sums.of[i][j]);
}

NARROWS_DEVICE float value_of(const StageView& stage, int32_t sum, uint32_t channel, size_t at) {
  const float value = scaled(static_cast<float>(sum + stage.offsets[channel]),
                             stage.scales[channel], stage.biases[channel]);
  const bool alone = stage.combination == Combination::none;
  return through(stage.after, alone ? value : combined(stage.combination, stage.source[at], value));
}

NARROWS_DEVICE void store(const HeadSums& sums, const StageView& stage, uint32_t pixel,
                          uint32_t column, uint32_t thread) {
  const uint32_t first = column + thread / kAcross * kPerThread;
  if (first >= stage.outputs) return;
  for (uint32_t i = 0; i < kTilePixels; ++i) {
    const uint32_t p = pixel + thread % kAcross + i * kAcross;
    if (p >= stage.pixels()) return;
    uint32_t word = 0;
    for (uint32_t j = 0; j < kPerThread && first + j < stage.outputs; ++j) {
      const size_t at = size_t{first + j} * stage.pixels() + p;
      const float value = value_of(stage, sums.of[i][j], first + j, at);
      if (stage.values) stage.values[at] = value;
      word |= byte_of(through(stage.before_next, value), stage.next_steps, stage.next_zero)
              << 8 * j;
    }
    const uint32_t words = (stage.outputs + 3) / 4;
    if (stage.next) stage.next[size_t{p} * words + first / 4] = word;
  }
}

}  // namespace narrows::cuda
