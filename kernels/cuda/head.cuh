// A block's work on a stage of an integer head: kPixels pixels of kChannels output channels. Its
// threads put words of inputs and of weights into the tile, fetch the next ones, add up the
// products of what is there, and so on to the end of the depth; in between the block waits for all
// of its threads. What follows the sums is one IEEE operation at a time, as in
// head/row_functions.h: the same latent, bit for bit.
//
// Every number of a stage has an index below 2^31: HeadLayout and FlatHead see to it.
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
constexpr uint32_t kLoads =
    kWords * kPixels / kTileThreads;  // of inputs by a thread, and of weights
static_assert(kPixels == kChannels);

// A stage as its blocks see it. `columns` are the outputs filled up to whole tiles.
struct StageView {
  const uint8_t* picture;    // RGB, of the first stage
  const uint32_t* features;  // of the others: (height, width, words)
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

// Where a stage's words come from.
struct PictureInputs {
  const uint8_t* pixels;
  NARROWS_DEVICE uint32_t word(uint32_t at, uint32_t) const {
    const uint8_t* pixel = pixels + 3 * at;
    return pixel[0] | pixel[1] << 8 | pixel[2] << 16;
  }
};

struct FeatureInputs {
  const uint32_t* features;
  uint32_t words;
  NARROWS_DEVICE uint32_t word(uint32_t at, uint32_t word) const {
    return features[at * words + word];
  }
};

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

// A thread's share of a tile, on its way there.
struct Fetched {
  uint32_t inputs[kLoads], weights[kLoads];
};

// What thread `thread` of a block brings of the depth from `from` on. Neighbouring threads read
// neighbouring words of a pixel, and neighbouring columns. Pixels beyond the last are stored
// nowhere, and inputs beyond the depth meet weights of zero: they may be anything.
template <typename Inputs>
NARROWS_DEVICE Fetched fetch(Inputs inputs, const StageView& stage, const HeadCorners& corners,
                             uint32_t column, uint32_t from, uint32_t thread) {
  Fetched fetched;
  const uint32_t k = from + thread % kWords, word = k % stage.words, place = k / stage.words;
  const uint32_t row = place / stage.kernel, across = place % stage.kernel;
  for (uint32_t i = 0; i < kLoads; ++i) {
    const uint32_t y = corners.y[i] + row, x = corners.x[i] + across;
    const bool inside = y < stage.height && x < stage.width;
    fetched.inputs[i] = inside ? inputs.word(y * stage.width + x, word) : stage.border;
  }
  for (uint32_t i = 0; i < kLoads; ++i) {
    const uint32_t l = from + thread / kChannels + i * (kTileThreads / kChannels);
    const uint32_t at = l * stage.columns + column + thread % kChannels;
    fetched.weights[i] = l < stage.depth() ? stage.weights[at] : 0;
  }
  return fetched;
}

NARROWS_DEVICE void put(const Fetched& fetched, uint32_t thread, HeadTile& tile) {
  for (uint32_t i = 0; i < kLoads; ++i) {
    tile.inputs[thread % kWords][thread / kWords + i * (kTileThreads / kWords)] = fetched.inputs[i];
    tile.weights[thread / kChannels + i * (kTileThreads / kChannels)][thread % kChannels] =
        fetched.weights[i];
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

NARROWS_DEVICE float value_of(const StageView& stage, int32_t sum, uint32_t channel, uint32_t at) {
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
      const uint32_t at = (first + j) * stage.pixels() + p;
      const float value = value_of(stage, sums.of[i][j], first + j, at);
      if (stage.values) stage.values[at] = value;
      word |= byte_of(through(stage.before_next, value), stage.next_steps, stage.next_zero)
              << 8 * j;
    }
    const uint32_t words = (stage.outputs + 3) / 4;
    if (stage.next) stage.next[p * words + first / 4] = word;
  }
}

}  // namespace narrows::cuda
