// One step of the coder on one state, and the steps that an escaped symbol takes.
//
// Interleaved range asymmetric numeral systems (Duda, arXiv:1311.2540; Giesen, arXiv:1402.3392):
// symbols are pushed in reverse, so that they pop in order; 32-bit states in [2^16, 2^32), 16-bit
// words: a step emits or reads one word at most.
//
// All of it is static: every instruction set compiles its own.
#pragma once

#include <bit>
#include <cstdint>

#include "coder/tables.h"

namespace narrows {

// x becomes (x / f) * 2^14 + x % f + start. `words` must have room for one more; whether it is kept
// depends on the data, so the step has no branch to mispredict.
static inline uint32_t push(uint32_t state, const Push& symbol, uint16_t*& words) {
  *words = static_cast<uint16_t>(state);
#if defined(__x86_64__)  // where compilers take longer over it
  const uint32_t shifted = state >> 16;
  uint16_t* after = words + 1;
  asm("cmp %[limit], %[state]\n\tcmovae %[shifted], %[state]\n\tcmovae %[after], %[words]"
      : [state] "+r"(state), [words] "+r"(words)
      : [limit] "rm"(symbol.limit), [shifted] "r"(shifted), [after] "r"(after)
      : "cc");
#else
  const uint32_t emits = state >= symbol.limit;
  words += emits;
  state >>= 16 * emits;
#endif
  const auto quotient = static_cast<uint32_t>(state * symbol.reciprocal >> 46);
  return state + quotient * symbol.rest + symbol.start;
}

// The inverse of push, before renormalisation.
static inline uint32_t pop(uint32_t state, Interval symbol) {
  return symbol.frequency * (state >> kPrecision) + (state & (kTotal - 1)) - symbol.start;
}

static inline Interval raw_bits(uint32_t number, uint32_t width) {
  return {static_cast<uint16_t>(1u << (kPrecision - width)),
          static_cast<uint16_t>(number << (kPrecision - width))};
}

// A power of two divides by a shift.
static inline uint32_t push_bits(uint32_t state, uint32_t number, uint32_t width,
                                 uint16_t*& words) {
  if (!width) return state;
  const Interval bits = raw_bits(number, width);
  const uint32_t emits = state >= uint32_t{bits.frequency} << (32 - kPrecision);
  *words = static_cast<uint16_t>(state);
  words += emits;
  state >>= 16 * emits;
  const uint32_t remainder = state & (bits.frequency - 1u);
  return (state >> (kPrecision - width) << kPrecision) + remainder + bits.start;
}

// A symbol outside the table: Elias gamma of its distance (at least 1) from the table's near end.
struct Escape {
  uint32_t distance;
  bool below;
  uint32_t bits() const { return std::bit_width(distance) - 1; }
};

constexpr size_t kEscapeWords = 4;  // an escape is at most four steps

static inline Escape escape_of(int16_t symbol, const Channel& channel) {
  if (symbol < channel.offset) return {static_cast<uint32_t>(channel.offset - symbol), true};
  return {static_cast<uint32_t>(symbol - (channel.offset + channel.length) + 1), false};
}

static inline uint32_t push_escape(uint32_t state, Escape escape, uint16_t*& words) {
  const uint32_t bits = escape.bits();
  const uint32_t mantissa = escape.distance - (1u << bits);
  if (bits > 8) {
    state = push_bits(state, mantissa & 0xFF, 8, words);
    state = push_bits(state, mantissa >> 8, bits - 8, words);
  } else {
    state = push_bits(state, mantissa, bits, words);
  }
  state = push_bits(state, escape.below, 1, words);
  return push_bits(state, bits, 5, words);
}

}  // namespace narrows
