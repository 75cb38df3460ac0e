// The exact product of two matrices modulo a Mersenne prime, 2^31 - 1 or 2^61 - 1.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.h"

namespace narrows {

// left (rows, depth) by right (depth, columns) into out (rows, columns), all row after row, modulo
// 2^bits - 1 for `bits` 31 or 61, on so many threads. False where an entry is not below the prime,
// and the product means nothing. Throws std::runtime_error where this machine lacks `isa`.
bool field_matmul(const uint64_t* left, const uint64_t* right, size_t rows, size_t depth,
                  size_t columns, int bits, int threads, Isa isa, uint64_t* out);

}  // namespace narrows
