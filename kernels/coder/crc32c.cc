#include "coder/crc32c.h"

#include <array>

namespace narrows {
namespace {

constexpr uint32_t kReversedPolynomial = 0x82F63B78;

using Table = std::array<uint32_t, 256>;

// kTables[k][b]: what byte b does to the checksum when k more bytes follow it.
constexpr std::array<Table, 8> make_tables() {
  std::array<Table, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? kReversedPolynomial : 0);
    tables[0][i] = value;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t i = 0; i < 256; ++i)
      tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 0xFF];
  return tables;
}

constexpr std::array<Table, 8> kTables = make_tables();

}  // namespace

uint32_t crc32c(const uint8_t* data, size_t size) {
  uint32_t value = ~0u;
  for (; size >= 8; data += 8, size -= 8) {  // eight independent look-ups, not a chain of eight
    uint32_t next = 0;
    for (uint32_t i = 0; i < 8; ++i) {
      const uint32_t old = i < 4 ? value >> (8 * i) & 0xFF : 0;
      next ^= kTables[7 - i][data[i] ^ old];
    }
    value = next;
  }
  for (; size; ++data, --size) value = kTables[0][(value ^ *data) & 0xFF] ^ value >> 8;
  return ~value;
}

}  // namespace narrows
