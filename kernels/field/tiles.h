// What an instruction set brings to a matrix product modulo p: how blocks of both factors are
// packed, and a tile of the product.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.h"

namespace narrows {

struct FieldTiles {
  size_t rows, columns;  // of a tile, at most
  size_t left_words;     // uint64 a packed entry of the left factor takes; of the right, one

  // Panels as deep as `depth`: of the left factor, `count` rows of it; of the right, `count`
  // columns. Both are filled up with zeros to a tile's. `stride` is from one row of the factor to
  // the next. They return the entries' `evidence` (mersenne.h).
  uint64_t (*pack_left)(const uint64_t* left, size_t stride, size_t count, size_t depth,
                        uint64_t* packed);
  uint64_t (*pack_right)(const uint64_t* right, size_t stride, size_t count, size_t depth,
                         uint64_t* packed);

  // Adds the product of two panels to the first `height` rows
  // and `width` columns of `out`, whose entries are and stay below p.
  void (*multiply)(const uint64_t* left, const uint64_t* right, size_t depth, uint64_t* out,
                   size_t stride, size_t height, size_t width);
};

// `bits`: 31 or 61. Throws std::runtime_error where this machine or build lacks it.
const FieldTiles& field_tiles(Isa isa, int bits);

}  // namespace narrows
