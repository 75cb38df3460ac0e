// NEON's common part: four sums to a vector. The including file defines the dot product.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "head/tiles.h"

namespace narrows {
namespace {

constexpr int kWidth = 4;
constexpr Tile kTiles[] = {{4, 4}, {2, 8}, {1, 8}};

inline void finish_four(int32x4_t sums, const float* scale, const float* bias, float* out) {
  vst1q_f32(out, vaddq_f32(vmulq_f32(vcvtq_f32_s32(sums), vld1q_f32(scale)), vld1q_f32(bias)));
}

}  // namespace
}  // namespace narrows
