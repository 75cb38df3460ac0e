// libFuzzer on what comes over the wire: payloads, by every instruction set, and whole packets'
// headers. The first bytes choose tables, sizes, lanes and tail; the rest is the payload.
#include <cstring>
#include <string>
#include <vector>

#include "coder/decoder.h"

using namespace narrows;

namespace {

// Three channels: narrow, wide, and one too wide for tables in registers.
struct Bundle {
  Tables tables;
  Bundle() : tables(kOffsets, kLengths, 3, cdf().data(), cdf().size()) {}

  static constexpr int32_t kOffsets[] = {-1, -20, -32768}, kLengths[] = {3, 41, 300};
  static const std::vector<uint16_t>& cdf() {
    static const std::vector<uint16_t> made = [] {
      std::vector<uint16_t> all;
      for (const int32_t length : kLengths)
        for (int32_t i = 0; i <= length + 1; ++i)
          all.push_back(static_cast<uint16_t>(i * kTotal / (length + 1)));
      return all;
    }();
    return made;
  }
};
constexpr int32_t Bundle::kOffsets[], Bundle::kLengths[];

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Bundle bundle;
  if (size < 5) return 0;
  const size_t area = 1 + data[0], total = 3 * area;
  const size_t starts[] = {0, area, 2 * area, 3 * area};
  const Rows rows{starts, 3};
  const Coded one{data + 5, size - 5, data[1] & 1 ? 1 << (data[1] >> 1 & 7) : data[1] - 3,
                  static_cast<int>(data[2] | data[3] << 8) - (data[4] & 1)};
  const Coded pair[] = {one, one};
  const Dequantiser dequantisers[] = {{1, 0.5f}, {2, 0}, {0.1f, -1}};
  std::vector<int16_t> symbols(2 * total), expected(2 * total);
  std::vector<float> latents(2 * total);
  std::string errors[2], verdicts[2];
  int16_t* const expect[] = {expected.data(), expected.data() + total};
  Decoder(Isa::portable).decode(pair, rows, bundle.tables, expect, verdicts);
  for (const Isa isa : kAllIsas) {
    if (!has(isa)) continue;
    Decoder decoder(isa);
    int16_t* const into[] = {symbols.data(), symbols.data() + total};
    float* const floats[] = {latents.data(), latents.data() + total};
    decoder.decode(pair, rows, bundle.tables, into, errors);
    if (errors[0] != verdicts[0] || errors[1] != verdicts[1] || symbols != expected)
      __builtin_trap();
    decoder.decode(pair, dequantisers, rows, bundle.tables, floats, errors);
    if (errors[0] != verdicts[0]) __builtin_trap();
  }
  return 0;
}
