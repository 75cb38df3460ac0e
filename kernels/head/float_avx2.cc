#include "head/tiles.h"

namespace narrows {
namespace {
constexpr int kWidth = 8;
constexpr Tile kTiles[] = {{3, 4}, {2, 6}, {1, 8}};
}  // namespace
}  // namespace narrows

#include "head/float_tile.h"

namespace narrows {
extern const FloatTiles kAvx2Floats;
const FloatTiles kAvx2Floats = {float_block, convolve_floats};
}  // namespace narrows
