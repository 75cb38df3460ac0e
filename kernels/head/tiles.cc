#include "head/tiles.h"

#include <stdexcept>
#include <string>

namespace narrows {

extern const FloatTiles kPortableFloats, kAvx2Floats, kAvx512Floats, kNeonFloats;
extern const IntegerTiles kPortableIntegers, kAvx2Integers, kAvx512Integers, kNeonIntegers,
    kDotprodIntegers, kI8mmIntegers;
extern const RowFunctions kPortableRowFunctions, kAvx2RowFunctions, kAvx512RowFunctions,
    kNeonRowFunctions;

HeadKernels head_kernels(Isa isa) {
  if (!has(isa)) throw std::runtime_error(std::string(name_of(isa)) + ": not on this machine");
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx2:
      return {kAvx2Floats, kAvx2Integers, kAvx2RowFunctions};
    case Isa::avx512:
      return {kAvx512Floats, kAvx512Integers, kAvx512RowFunctions};
#elif defined(__aarch64__)
    case Isa::neon:
      return {kNeonFloats, kNeonIntegers, kNeonRowFunctions};
    case Isa::dotprod:
      return {kNeonFloats, kDotprodIntegers, kNeonRowFunctions};
    case Isa::i8mm:
      return {kNeonFloats, kI8mmIntegers, kNeonRowFunctions};
#endif
    default:
      return {kPortableFloats, kPortableIntegers, kPortableRowFunctions};
  }
}

}  // namespace narrows
