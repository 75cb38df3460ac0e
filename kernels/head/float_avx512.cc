#include "head/tiles.h"

namespace narrows {
namespace {
constexpr int kWidth = 16;
constexpr Tile kTiles[] = {{2, 14}, {3, 8}, {1, 14}};
}  // namespace
}  // namespace narrows

#include "head/float_tile.h"

namespace narrows {
extern const FloatTiles kAvx512Floats;
const FloatTiles kAvx512Floats = {float_block, convolve_floats};
}  // namespace narrows
