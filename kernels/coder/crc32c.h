// CRC-32C (Castagnoli, RFC 3720 appendix B.4): the packet's checksum.
#pragma once

#include <cstddef>
#include <cstdint>

namespace narrows {

uint32_t crc32c(const uint8_t* data, size_t size);

}  // namespace narrows
