// What one thread of a warp does: a step of the coder on one state, quantising, and the few
// instructions whose names differ between a GPU and the host that emulates one.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "coder/format.h"
#include "coder/rows.h"
#include "coder/tables.h"
#include "cuda/host_device.h"

namespace narrows::cuda {

NARROWS_DEVICE uint32_t count_bits(uint32_t mask) {
#ifdef __CUDA_ARCH__
  return __popc(mask);
#else
  return std::popcount(mask);
#endif
}

NARROWS_DEVICE uint32_t lowest_bit(uint32_t mask) {
#ifdef __CUDA_ARCH__
  return __ffs(mask) - 1;
#else
  return std::countr_zero(mask);
#endif
}

NARROWS_DEVICE uint32_t highest_bit(uint32_t value) {
#ifdef __CUDA_ARCH__
  return 31 - __clz(value);
#else
  return 31 - std::countl_zero(value);
#endif
}

NARROWS_DEVICE uint32_t multiply_high(uint32_t a, uint32_t b) {
#ifdef __CUDA_ARCH__
  return __umulhi(a, b);
#else
  return static_cast<uint32_t>(uint64_t{a} * b >> 32);
#endif
}

// Tables: read by everyone, written by nobody.
template <typename T>
NARROWS_DEVICE T load_table(const T* from) {
#ifdef __CUDA_ARCH__
  return __ldg(from);
#else
  return *from;
#endif
}

NARROWS_DEVICE PackedPush load_push(const PackedPush* from) {
#ifdef __CUDA_ARCH__
  const uint2 both = __ldg(reinterpret_cast<const uint2*>(from));
  return {both.x, both.y};
#else
  return *from;
#endif
}

// Frames: read once, in order.
template <typename T>
NARROWS_DEVICE T load_stream(const T* from) {
#ifdef __CUDA_ARCH__
  return __ldcs(from);
#else
  return *from;
#endif
}

// The same address, of which the compiler knows no longer how it came about: else it adds up the
// whole sum again for every access.
template <typename T>
NARROWS_DEVICE T* pinned(T* address) {
#ifdef __CUDA_ARCH__
  asm("" : "+l"(address));
  __builtin_assume(__isGlobal(address));
#endif
  return address;
}

// round(value * gain - median), half to even, within +-32767; not-a-number becomes the lowest.
NARROWS_DEVICE int32_t quantised(float value, Quantiser quantiser) {
#ifdef __CUDA_ARCH__
  const float scaled = __fsub_rn(__fmul_rn(value, quantiser.gain), quantiser.median);
  return __float2int_rn(fminf(fmaxf(scaled, -kSymbolLimit), kSymbolLimit));
#else
  volatile float product = value * quantiser.gain;  // never one fused operation
  float scaled = product - quantiser.median;
  scaled = scaled > -kSymbolLimit ? scaled : -kSymbolLimit;
  scaled = scaled < kSymbolLimit ? scaled : kSymbolLimit;
  return std::bit_cast<int32_t>(scaled + 12582912.0f) - std::bit_cast<int32_t>(12582912.0f);
#endif
}

NARROWS_DEVICE float dequantised(int32_t symbol, Dequantiser dequantiser) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(__fadd_rn(__int2float_rn(symbol), dequantiser.median), dequantiser.gain);
#else
  return (static_cast<float>(symbol) + dequantiser.median) * dequantiser.gain;
#endif
}

// Whether the state must give a word away before the push.
NARROWS_DEVICE bool emits(uint32_t state, PackedPush symbol) {
  return state >= (symbol.interval & 0xFFFC0000);
}

// x becomes (x / f) * 2^14 + x % f + start, the division as PackedPush says.
NARROWS_DEVICE uint32_t pushed(uint32_t state, PackedPush symbol) {
  const uint32_t increment = symbol.multiplier >> 31;
  const uint32_t high = multiply_high(state + increment, symbol.multiplier | 0x80000000);
  const uint32_t quotient = high >> (symbol.interval & 15);
  const uint32_t start = symbol.interval >> 4 & (kTotal - 1);
  return state + quotient * (kTotal - (symbol.interval >> 18)) + start;
}

// An interval as decoders want it: start << 18 | frequency.
NARROWS_DEVICE uint32_t frequency_of(uint32_t interval) { return interval & 0x3FFFF; }
NARROWS_DEVICE uint32_t start_of(uint32_t interval) { return interval >> 18; }

// The inverse of pushed, before renormalisation.
NARROWS_DEVICE uint32_t popped(uint32_t state, uint32_t interval) {
  return frequency_of(interval) * (state >> kPrecision) + (state & (kTotal - 1)) -
         start_of(interval);
}

// k raw bits of value r, 0 < k: an interval of frequency 2^(14 - k) from r * 2^(14 - k).
NARROWS_DEVICE uint32_t bits_interval(uint32_t number, uint32_t width) {
  return number << (kPrecision - width) << 18 | 1u << (kPrecision - width);
}

}  // namespace narrows::cuda
