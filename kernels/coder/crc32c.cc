#include "coder/crc32c.h"

#include <array>

namespace narrows {
namespace {

constexpr uint32_t kReversedPolynomial = 0x82F63B78;

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? kReversedPolynomial : 0);
    table[i] = value;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = make_table();

}  // namespace

uint32_t crc32c(const uint8_t* data, size_t size) {
  uint32_t value = ~0u;
  for (size_t i = 0; i < size; ++i) value = kTable[(value ^ data[i]) & 0xFF] ^ value >> 8;
  return ~value;
}

}  // namespace narrows
