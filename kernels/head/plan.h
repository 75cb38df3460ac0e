// A head as a chain of convolutions. Everything else in it is what happens to their rows: the sums
// and quotients with an earlier stage's value, and the functions before and after.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace narrows {

enum class Function { none, relu, gelu, absolute };

enum class Combination { none, add, divide };

// value = after(combine(convolution(before(previous value)), the source's value)).
//
// GDN1 (Johnston et al., arXiv:1912.08771), x / (beta + gamma |x|), is a 1x1 convolution of |x|
// that divides its source. In an integer head a convolution's inputs are rounded to
// value * steps_per_unit + zero, within 0..255.
struct Stage {
  int inputs, outputs, kernel, stride, pad;
  Function before, after;
  Combination combination;
  int source;                     // an earlier stage, where there is a combination
  std::vector<float> weight;      // outputs x inputs x kernel x kernel
  std::vector<int8_t> quantised;  // the same in an integer head
  std::vector<float> scale;       // outputs: what one step of an integer sum is worth
  std::vector<float> bias;        // outputs
  float steps_per_unit;
  int zero;
};

struct Plan {
  float mean[3], deviation[3];  // of pixels in 0..255, for a head in floating point
  uint8_t border[3];            // the pixel around the picture, for an integer head
  std::vector<Stage> stages;
  bool integer;
};

// Throws std::invalid_argument for a plan that does not fit together.
void check(const Plan& plan);

// A side of what a stage makes of an input of that side: 0 where it is too short, whatever the
// padding.
size_t extent(const Stage& stage, size_t input);

// Throws std::invalid_argument where a picture of that size leaves combined stages different sizes.
void check_sizes(const Plan& plan, size_t height, size_t width);

}  // namespace narrows
