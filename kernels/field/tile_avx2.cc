// AVX2: four sums to a vector.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace narrows {
namespace {

constexpr size_t kWidth = 4;

using Sums = __m256i;
using Digits = __m256i;  // in the lower halves; the upper ones are not read
struct Pair {
  Digits low, high;
};

inline Sums everywhere(uint64_t value) { return _mm256_set1_epi64x(static_cast<long long>(value)); }
inline Digits everywhere(const char* digit) {
  int32_t value;
  std::memcpy(&value, digit, 4);
  return _mm256_set1_epi32(value);
}
inline void store(Sums sums, uint64_t* to) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sums);
}
inline Pair pair_at(const uint64_t* from) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return {words, _mm256_srli_epi64(words, 32)};
}
inline Sums plus_product(Sums sums, Digits a, Digits b) {
  return _mm256_add_epi64(sums, _mm256_mul_epi32(a, b));
}
template <int Bits>
inline Sums folded_plus(Sums x, Sums zero) {
  const __m256i low = _mm256_and_si256(x, everywhere((uint64_t{1} << Bits) - 1));
  return _mm256_add_epi64(_mm256_add_epi64(low, zero), _mm256_srli_epi64(x, Bits));
}

}  // namespace
}  // namespace narrows

#include "field/tile.h"

namespace narrows {
extern const FieldTiles kAvx2Field31, kAvx2Field61;
const FieldTiles kAvx2Field31 = kTiles<31, 4, 3>;
const FieldTiles kAvx2Field61 = kTiles<61, 5, 1>;
}  // namespace narrows
