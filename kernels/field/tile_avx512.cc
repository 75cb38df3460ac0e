// AVX-512: eight sums to a vector. Zen 4 multiplies one such vector a cycle and adds two.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace narrows {
namespace {

constexpr size_t kWidth = 8;

using Sums = __m512i;
using Digits = __m512i;  // in the lower halves; the upper ones are not read
struct Pair {
  Digits low, high;
};

inline Sums everywhere(uint64_t value) { return _mm512_set1_epi64(static_cast<long long>(value)); }
inline Digits everywhere(const char* digit) {
  int32_t value;
  std::memcpy(&value, digit, 4);
  return _mm512_set1_epi32(value);
}
inline void store(Sums sums, uint64_t* to) { _mm512_storeu_si512(to, sums); }
inline Pair pair_at(const uint64_t* from) {
  const __m512i words = _mm512_loadu_si512(from);
  return {words, _mm512_srli_epi64(words, 32)};
}
inline Sums plus_product(Sums sums, Digits a, Digits b) {
  return _mm512_add_epi64(sums, _mm512_mul_epi32(a, b));
}
template <int Bits>
inline Sums folded_plus(Sums x, Sums zero) {
  const __m512i low = _mm512_and_si512(x, everywhere((uint64_t{1} << Bits) - 1));
  return _mm512_add_epi64(_mm512_add_epi64(low, zero), _mm512_srli_epi64(x, Bits));
}

}  // namespace
}  // namespace narrows

#include "field/tile.h"

namespace narrows {
extern const FieldTiles kAvx512Field31, kAvx512Field61;
const FieldTiles kAvx512Field31 = kTiles<31, 4, 4>;
const FieldTiles kAvx512Field61 = kTiles<61, 4, 2>;
}  // namespace narrows
