// Residues modulo a Mersenne prime p = 2^Bits - 1: since 2^Bits = 1, the bits from Bits on are
// added to those below. All of it is static: every instruction set compiles its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/host_device.h"

namespace narrows {
namespace {

template <int Bits>
constexpr uint64_t kPrime = (uint64_t{1} << Bits) - 1;

// Congruent to x and at most p + (x >> Bits).
template <int Bits>
NARROWS_DEVICE uint64_t folded(uint64_t x) {
  return (x & kPrime<Bits>)+(x >> Bits);
}

// The residue below p of any x for which folding once leaves less than 2 p.
template <int Bits>
NARROWS_DEVICE uint64_t residue(uint64_t x) {
  x = folded<Bits>(x);
  return x >= kPrime<Bits> ? x - kPrime<Bits> : x;
}

// x 2^shift for x of at most Bits bits: a rotation.
template <int Bits>
NARROWS_DEVICE uint64_t rotated(uint64_t x, int shift) {
  return ((x << shift) & kPrime<Bits>) | (x >> (Bits - shift));
}

// Or-ed over many x, it has a bit at Bits or above if and only if one of them is not below p:
// x + 1 reaches 2^Bits at x = p, and x itself tells where x + 1 wraps.
NARROWS_DEVICE uint64_t evidence(uint64_t x) { return x | (x + 1); }

}  // namespace
}  // namespace narrows
