// NEON: two sums to a vector; one instruction multiplies and adds.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace narrows {
namespace {

constexpr size_t kWidth = 2;

using Sums = uint64x2_t;
using Digits = int32x2_t;
struct Pair {
  Digits low, high;
};

inline Sums everywhere(uint64_t value) { return vdupq_n_u64(value); }
inline Digits everywhere(const char* digit) {
  int32_t value;
  std::memcpy(&value, digit, 4);
  return vdup_n_s32(value);
}
inline void store(Sums sums, uint64_t* to) { vst1q_u64(to, sums); }
inline Pair pair_at(const uint64_t* from) {
  const uint64x2_t words = vld1q_u64(from);
  return {vreinterpret_s32_u32(vmovn_u64(words)), vreinterpret_s32_u32(vshrn_n_u64(words, 32))};
}
inline Sums plus_product(Sums sums, Digits a, Digits b) {
  return vreinterpretq_u64_s64(vmlal_s32(vreinterpretq_s64_u64(sums), a, b));
}
template <int Bits>
inline Sums folded_plus(Sums x, Sums zero) {
  const uint64x2_t low = vandq_u64(x, everywhere((uint64_t{1} << Bits) - 1));
  return vsraq_n_u64(vaddq_u64(low, zero), x, Bits);
}

}  // namespace
}  // namespace narrows

#include "field/tile.h"

namespace narrows {
extern const FieldTiles kNeonField31, kNeonField61;
const FieldTiles kNeonField31 = kTiles<31, 4, 4>;
const FieldTiles kNeonField61 = kTiles<61, 4, 2>;
}  // namespace narrows
