#include "coder/encoder.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>

#include "coder/lanes.h"
#include "coder/step.h"

namespace narrows {
namespace {

constexpr double kCostScale = 1 << kCostBits;

template <typename T>
void reserve(std::vector<T>& buffer, size_t size) {
  if (buffer.size() < size) buffer.resize(size);
}

}  // namespace

void append(std::vector<Escaped>& escaped, size_t index, int16_t symbol) {
  escaped.push_back({index, symbol});
}

void append(std::vector<size_t>& escapes, size_t index) { escapes.push_back(index); }

const RowKernels& row_kernels(Isa isa) {
  if (!has(isa)) throw std::runtime_error(std::string(name_of(isa)) + ": not on this machine");
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx2:
      return kAvx2Rows;
    case Isa::avx512:
      return kAvx512Rows;
#elif defined(__aarch64__)
    case Isa::neon:
    case Isa::dotprod:
    case Isa::i8mm:
      return kNeonRows;
#endif
    default:
      return kPortableRows;
  }
}

void Encoder::clear(Rows rows) {
  reserve(entries_, rows.symbols() + kWordSlack);
  escaped_.clear();
}

Payload Encoder::encode(const int16_t* symbols, Rows rows, const Tables& tables, int lanes) {
  clear(rows);
  for (size_t r = 0; r < rows.count; ++r)
    kernels_.entries_of_symbols(symbols + rows.starts[r], rows.starts[r + 1] - rows.starts[r],
                                tables.channels()[r], entries_of(rows, r), escaped_,
                                rows.starts[r]);
  return encode_entries(rows, tables, lanes ? lanes : lanes_for(rows, tables));
}

Payload Encoder::encode(const float* latent, const Quantiser* quantisers, Rows rows,
                        const Tables& tables, int lanes) {
  clear(rows);
  for (size_t r = 0; r < rows.count; ++r)
    kernels_.entries_of_latent(latent + rows.starts[r], rows.starts[r + 1] - rows.starts[r],
                               quantisers[r], tables.channels()[r], entries_of(rows, r), escaped_,
                               rows.starts[r]);
  return encode_entries(rows, tables, lanes ? lanes : lanes_for(rows, tables));
}

double Encoder::cost_bits(const int16_t* symbols, Rows rows, const Tables& tables) {
  clear(rows);
  uint64_t cost = 0;
  for (size_t r = 0; r < rows.count; ++r) {
    const Channel& channel = tables.channels()[r];
    const size_t count = rows.starts[r + 1] - rows.starts[r], known = escaped_.size();
    kernels_.entries_of_symbols(symbols + rows.starts[r], count, channel, entries_of(rows, r),
                                escaped_, rows.starts[r]);
    for (size_t i = 0; i < count; ++i) cost += channel.cost[entries_of(rows, r)[i]];
    for (size_t e = known; e < escaped_.size(); ++e)
      cost +=
          static_cast<uint64_t>((6 + escape_of(escaped_[e].symbol, channel).bits()) * kCostScale);
  }
  return static_cast<double>(cost) / kCostScale;
}

int Encoder::lanes_for(Rows rows, const Tables& tables) const {
  const uint32_t step = sample_step(rows.symbols());
  uint64_t cost = 0;
  size_t k = 0;  // in coding order: the last row first
  for (size_t r = rows.count; r-- > 0;) {
    const uint32_t* costs = tables.channels()[r].cost.data();
    const size_t end = rows.symbols() - rows.starts[r];
    for (; k < end; k += step) cost += costs[entries_[k]];
  }
  return narrows::lanes_for(cost, step);
}

Payload Encoder::encode_entries(Rows rows, const Tables& tables, int lanes) {
  const std::vector<Channel>& channels = tables.channels();
  const size_t total = rows.symbols();
  reserve(words_, total + kEscapeWords * escaped_.size() + kWordSlack);
  uint16_t* const begin = words_.data();
  uint16_t* words = begin;
  uint32_t states[kMaxLanes] = {1};

  for (size_t e = escaped_.size(); e-- > 0;) {
    const Channel& channel = channels[row_of(rows, escaped_[e].index)];
    states[0] = push_escape(states[0], escape_of(escaped_[e].symbol, channel), words);
  }

  // Lane 0 alone, until it has filled the other lanes' initial states; with one lane, to the end.
  const size_t parked = lanes - 1;
  size_t tail = 0;
  for (size_t row = rows.count; tail < total; ++tail) {
    if (lanes > 1 && static_cast<size_t>(words - begin) >= parked) break;
    if (lanes > 1 && tail == kMaxTail) return encode_entries(rows, tables, 1);
    while (rows.starts[row] > total - 1 - tail) --row;
    states[0] = push(states[0], channels[row].pushes[entries_[tail]], words);
  }
  if (lanes == 1 || static_cast<size_t>(words - begin) < parked)
    return pack(states, 1, begin, words, 0);

  for (size_t lane = 1; lane <= parked; ++lane) states[lane] = kLower + begin[lane - 1];
  std::reverse(states, states + lanes);
  for (size_t r = rows.count; r-- > 0;) {
    const size_t from = std::max(tail, total - rows.starts[r + 1]), to = total - rows.starts[r];
    if (from < to)
      words = kernels_.encode(entries_.data() + from, to - from, channels[r], lanes, states, words);
  }
  std::reverse(states, states + lanes);
  return pack(states, lanes, begin + parked, words, tail);
}

// States, then the words [begin, end) in reverse: the order the decoder reads them.
Payload Encoder::pack(const uint32_t* states, int lanes, const uint16_t* begin, const uint16_t* end,
                      size_t tail) {
  const size_t size = 4 * lanes + 2 * (end - begin);
  reserve(payload_, size);
  uint8_t* to = payload_.data();
  for (int lane = 0; lane < lanes; ++lane)
    for (int shift = 0; shift < 32; shift += 8) *to++ = static_cast<uint8_t>(states[lane] >> shift);
  for (size_t i = 0, count = end - begin; i < count; ++i) {
    uint16_t word = begin[count - 1 - i];
    if constexpr (std::endian::native == std::endian::big) word = word << 8 | word >> 8;
    std::memcpy(to + 2 * i, &word, 2);
  }
  return {payload_.data(), size, lanes, static_cast<int>(tail)};
}

}  // namespace narrows
