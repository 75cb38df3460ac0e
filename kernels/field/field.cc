// Blocks of both factors are packed once each and multiplied tile by tile: the panel of the right
// factor lies in the first cache while all rows of the block pass it, the block of the left one in
// the second.
#include "field/field.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "field/mersenne.h"
#include "field/tiles.h"

namespace narrows {

extern const FieldTiles kPortableField31, kPortableField61, kAvx2Field31, kAvx2Field61,
    kAvx512Field31, kAvx512Field61, kNeonField31, kNeonField61;

const FieldTiles& field_tiles(Isa isa, int bits) {
  if (!has(isa)) throw std::runtime_error(std::string(name_of(isa)) + ": not on this machine");
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx2:
      return bits == 31 ? kAvx2Field31 : kAvx2Field61;
    case Isa::avx512:
      return bits == 31 ? kAvx512Field31 : kAvx512Field61;
#elif defined(__aarch64__)
    case Isa::neon:
    case Isa::dotprod:
    case Isa::i8mm:
      return bits == 31 ? kNeonField31 : kNeonField61;
#endif
    default:
      return bits == 31 ? kPortableField31 : kPortableField61;
  }
}

namespace {

constexpr size_t kDepth = 128;    // a panel is 12 to 32 KB deep
constexpr size_t kHeight = 192;   // a packed block of the left factor has at most 400 KB
constexpr size_t kColumns = 256;  // one of the right factor 256 KB; lines are read 2 KB at a time

struct Matrix {
  const uint64_t* entries;
  size_t stride;  // from row to row
};

size_t filled(size_t count, size_t unit) { return (count + unit - 1) / unit * unit; }

// The panels of a block: `count` rows or columns, `panel` at a time, `step` apart.
template <typename Pack>
uint64_t pack_panels(Pack pack, Matrix from, size_t step, size_t count, size_t panel, size_t depth,
                     size_t words, uint64_t* packed) {
  uint64_t seen = 0;
  for (size_t first = 0; first < count; first += panel, packed += panel * depth * words)
    seen |= pack(from.entries + first * step, from.stride, std::min(panel, count - first), depth,
                 packed);
  return seen;
}

// Adds the product to `out`. Returns the entries' evidence.
uint64_t add_product(const FieldTiles& tiles, Matrix left, Matrix right, size_t rows, size_t depth,
                     size_t columns, uint64_t* out, size_t stride) {
  uint64_t seen = 0;
  const size_t deepest = std::min(kDepth, depth);
  const size_t left_panel = tiles.rows * tiles.left_words, right_panel = tiles.columns;
  std::vector<uint64_t> left_block(filled(std::min(kHeight, rows), tiles.rows) * tiles.left_words *
                                   deepest);
  std::vector<uint64_t> right_block(filled(std::min(kColumns, columns), right_panel) * deepest);
  for (size_t l = 0; l < depth; l += kDepth) {
    const size_t deep = std::min(kDepth, depth - l);
    for (size_t i = 0; i < rows; i += kHeight) {
      const size_t height = std::min(kHeight, rows - i);
      seen |=
          pack_panels(tiles.pack_left, {left.entries + i * left.stride + l, left.stride},
                      left.stride, height, tiles.rows, deep, tiles.left_words, left_block.data());
      for (size_t j = 0; j < columns; j += kColumns) {
        const size_t width = std::min(kColumns, columns - j);
        seen |= pack_panels(tiles.pack_right, {right.entries + l * right.stride + j, right.stride},
                            1, width, right_panel, deep, 1, right_block.data());
        for (size_t c = 0; c < width; c += tiles.columns)
          for (size_t r = 0; r < height; r += tiles.rows)
            tiles.multiply(left_block.data() + r / tiles.rows * left_panel * deep,
                           right_block.data() + c * deep, deep, out + (i + r) * stride + j + c,
                           stride, std::min(tiles.rows, height - r),
                           std::min(tiles.columns, width - c));
      }
    }
  }
  return seen;
}

}  // namespace

bool field_matmul(const uint64_t* left, const uint64_t* right, size_t rows, size_t depth,
                  size_t columns, int bits, int threads, Isa isa, uint64_t* out) {
  const FieldTiles& tiles = field_tiles(isa, bits);
  std::fill_n(out, rows * columns, 0);
  // Threads share the longer side of the product, in whole tiles.
  const bool by_columns = columns >= rows;
  const size_t side = by_columns ? columns : rows;
  const size_t tile = by_columns ? tiles.columns : tiles.rows;
  const size_t share = filled((side + threads - 1) / threads, tile);
  std::vector<uint64_t> seen(threads);
  const auto work = [&](int thread) {
    const size_t first = std::min(side, thread * share), count = std::min(share, side - first);
    if (!count) return;
    seen[thread] = by_columns ? add_product(tiles, {left, depth}, {right + first, columns}, rows,
                                            depth, count, out + first, columns)
                              : add_product(tiles, {left + first * depth, depth}, {right, columns},
                                            count, depth, columns, out + first * columns, columns);
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(work, thread);
  work(0);
  for (std::thread& other : others) other.join();
  uint64_t all = 0;
  for (const uint64_t one : seen) all |= one;
  return all >> bits == 0;
}

}  // namespace narrows
