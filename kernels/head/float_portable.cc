#include "head/tiles.h"

namespace narrows {
namespace {
constexpr int kWidth = 4;
constexpr Tile kTiles[] = {{2, 4}, {1, 8}};
}  // namespace
}  // namespace narrows

#include "head/float_tile.h"

namespace narrows {
extern const FloatTiles kPortableFloats;
const FloatTiles kPortableFloats = {float_block, convolve_floats};
}  // namespace narrows
