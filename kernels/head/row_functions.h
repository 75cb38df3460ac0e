// What happens to a row between convolutions. Every sum, product and quotient is rounded apart, so
// that an integer head is the same everywhere.
//
// All of it is static: every instruction set compiles its own.
#pragma once

#include <cmath>
#include <cstring>

#include "head/tiles.h"

namespace narrows {
namespace {

inline float applied(Function function, float x) {
  switch (function) {
    case Function::relu:
      return x > 0 ? x : 0;
    case Function::gelu:
      return 0.5f * x * (1.0f + std::erf(x * 0.70710678f));
    case Function::absolute:
      return std::fabs(x);
    default:
      return x;
  }
}

void combine_rows(Combination combination, const float* source, size_t count, float* value) {
  if (combination == Combination::add)
    for (size_t i = 0; i < count; ++i) value[i] = source[i] + value[i];
  if (combination == Combination::divide)
    for (size_t i = 0; i < count; ++i) value[i] = source[i] / value[i];
}

template <Function F>
inline void apply_one(const float* value, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) out[i] = applied(F, value[i]);
}

void apply_to_row(Function function, const float* value, size_t count, float* out) {
  switch (function) {
    case Function::relu:
      return apply_one<Function::relu>(value, count, out);
    case Function::gelu:
      return apply_one<Function::gelu>(value, count, out);
    case Function::absolute:
      return apply_one<Function::absolute>(value, count, out);
    default:
      return apply_one<Function::none>(value, count, out);
  }
}

// Adding 2^23 leaves the nearest integer, ties to even, in a float's low bits.
template <Function F>
inline void quantise_one(const float* value, size_t count, float steps_per_unit, float zero,
                         uint8_t* out) {
  for (size_t i = 0; i < count; ++i) {
    float x = applied(F, value[i]) * steps_per_unit;
    x += zero;
    x = x > 0 ? x : 0;  // also where it is not a number
    x = x < 255 ? x : 255;
    x += 8388608.0f;
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    out[i] = static_cast<uint8_t>(bits);
  }
}

void quantise_row(Function function, const float* value, size_t count, float steps_per_unit,
                  float zero, uint8_t* out) {
  switch (function) {
    case Function::relu:
      return quantise_one<Function::relu>(value, count, steps_per_unit, zero, out);
    case Function::gelu:
      return quantise_one<Function::gelu>(value, count, steps_per_unit, zero, out);
    case Function::absolute:
      return quantise_one<Function::absolute>(value, count, steps_per_unit, zero, out);
    default:
      return quantise_one<Function::none>(value, count, steps_per_unit, zero, out);
  }
}

}  // namespace
}  // namespace narrows
