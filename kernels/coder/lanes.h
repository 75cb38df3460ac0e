// How many lanes a payload has where its caller names none: each costs a byte and lets kernels go
// faster. A sample of a large frame says enough.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/host_device.h"

namespace narrows {

constexpr uint32_t kCostBits = 16;  // Channel::cost is in 2^-16 bits

// In coding order, every so many symbols are looked at.
NARROWS_DEVICE uint32_t sample_step(size_t symbols) { return symbols < 4096 ? 1 : 16; }

NARROWS_DEVICE uint32_t lanes_for(uint64_t sampled_cost, uint32_t step) {
  const uint64_t kilobytes = sampled_cost * step >> (kCostBits + 3 + 10);
  return kilobytes < 1 ? 2 : kilobytes < 4 ? 4 : kilobytes < 16 ? 8 : kilobytes < 32 ? 16 : 32;
}

}  // namespace narrows
