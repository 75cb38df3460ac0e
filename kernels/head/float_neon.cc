#include "head/tiles.h"

namespace narrows {
namespace {
constexpr int kWidth = 4;
constexpr Tile kTiles[] = {{4, 6}, {2, 8}, {1, 8}};
}  // namespace
}  // namespace narrows

#include "head/float_tile.h"

namespace narrows {
extern const FloatTiles kNeonFloats;
const FloatTiles kNeonFloats = {float_block, convolve_floats};
}  // namespace narrows
