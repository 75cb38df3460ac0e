// What a warp is given: tables, the rows of a frame, and where symbols come from or go.
#pragma once

#include <cstdint>

#include "coder/rows.h"
#include "cuda/step.cuh"

namespace narrows::cuda {

// One channel: where its entries lie among everyone's, the escape last.
struct TableRow {
  int32_t offset;   // the smallest symbol
  uint32_t length;  // symbols without the escape
  uint32_t begin;
};

constexpr uint32_t kWarp = 32;            // threads
constexpr uint32_t kFinds = kTotal / 16;  // of each channel: the entry of every 16th codepoint

struct TableView {
  const TableRow* rows;
  const PackedPush* pushes;
  const uint32_t* pops;  // start << 18 | frequency
  const uint16_t* finds;
  const uint32_t* costs;  // of an encoder that chooses its lanes
};

// Row r is [starts[r], starts[r + 1]) of the frame.
struct RowView {
  const uint32_t* starts;
  uint32_t count;
  NARROWS_DEVICE uint32_t start(uint32_t row) const { return load_table(starts + row); }
  NARROWS_DEVICE uint32_t symbols() const { return start(count); }
};

enum class Verdict : uint32_t {
  ok,
  sizes,       // bytes, lanes and tail that no payload has
  lane_start,  // a lane starts below the coder's range
  ran_out,     // the payload ends before its symbols do
  lane_end,    // a lane does not end where it must
  escape,      // an escaped symbol beyond int16
  left_over,   // symbols end before the payload does
  misaligned,  // a payload at an odd address
  too_large,   // of an encoder: the payload does not fit its slot
};

struct Encoded {
  uint32_t bytes, lanes, tail;
  Verdict verdict;
};

// Words an encoder's scratch holds beyond its slot's: the parked ones, and a few steps unchecked.
constexpr uint32_t kScratchSlack = 1024;

struct Coded {
  uint64_t offset;  // even, from the first payload's
  uint32_t bytes;
  uint32_t lanes, tail;
};

struct SymbolSource {
  const int16_t* symbols;
  struct Row {
    const int16_t* symbols;
    using Raw = int16_t;
    NARROWS_DEVICE Raw load(uint32_t i) const { return load_stream(symbols + i); }
    NARROWS_DEVICE int32_t symbol(Raw raw) const { return raw; }
  };
  NARROWS_DEVICE Row row(uint32_t, uint32_t start) const { return {pinned(symbols + start)}; }
};

struct LatentSource {
  const float* latent;
  const Quantiser* quantisers;
  struct Row {
    const float* latent;
    Quantiser quantiser;
    using Raw = float;
    NARROWS_DEVICE Raw load(uint32_t i) const { return load_stream(latent + i); }
    NARROWS_DEVICE int32_t symbol(Raw raw) const { return quantised(raw, quantiser); }
  };
  NARROWS_DEVICE Row row(uint32_t row, uint32_t start) const {
    return {pinned(latent + start),
            {load_table(&quantisers[row].gain), load_table(&quantisers[row].median)}};
  }
};

// An output remembers which of its places hold escapes, whose values come last: put() leaves there
// what no other symbol of the row leaves.
struct SymbolOutput {
  int16_t* symbols;
  struct Row {
    int16_t* symbols;
    int32_t offset;
    uint32_t length;
    using Raw = int16_t;
    NARROWS_DEVICE void put(uint32_t i, uint32_t entry) const {
      symbols[i] = static_cast<int16_t>(offset + static_cast<int32_t>(entry));
    }
    NARROWS_DEVICE Raw load(uint32_t i) const { return symbols[i]; }
    NARROWS_DEVICE bool is_escape(Raw raw) const {
      return raw == static_cast<int16_t>(offset + static_cast<int32_t>(length));
    }
    NARROWS_DEVICE void set(uint32_t i, int32_t symbol) const {
      symbols[i] = static_cast<int16_t>(symbol);
    }
  };
  NARROWS_DEVICE Row row(uint32_t, uint32_t start, TableRow table) const {
    return {pinned(symbols + start), table.offset, table.length};
  }
  NARROWS_DEVICE void clear(uint32_t i) const { symbols[i] = 0; }
};

// Its mark is a not-a-number that no arithmetic makes.
struct LatentOutput {
  uint32_t* latent;  // the bits of floats
  const Dequantiser* dequantisers;
  static constexpr uint32_t kMark = 0xFFA5C0DE;
  struct Row {
    uint32_t* latent;
    Dequantiser dequantiser;
    int32_t offset;
    uint32_t length;
    using Raw = uint32_t;
    NARROWS_DEVICE void put(uint32_t i, uint32_t entry) const {
      const uint32_t value = bits_of(offset + static_cast<int32_t>(entry));
      latent[i] = entry == length ? kMark : value;
    }
    NARROWS_DEVICE Raw load(uint32_t i) const { return latent[i]; }
    NARROWS_DEVICE bool is_escape(Raw raw) const { return raw == kMark; }
    NARROWS_DEVICE void set(uint32_t i, int32_t symbol) const { latent[i] = bits_of(symbol); }
    NARROWS_DEVICE uint32_t bits_of(int32_t symbol) const {
#ifdef __CUDA_ARCH__
      return __float_as_uint(dequantised(symbol, dequantiser));
#else
      return std::bit_cast<uint32_t>(dequantised(symbol, dequantiser));
#endif
    }
  };
  NARROWS_DEVICE Row row(uint32_t row, uint32_t start, TableRow table) const {
    return {pinned(latent + start),
            {load_table(&dequantisers[row].gain), load_table(&dequantisers[row].median)},
            table.offset,
            table.length};
  }
  NARROWS_DEVICE void clear(uint32_t i) const { latent[i] = 0; }
};

}  // namespace narrows::cuda
