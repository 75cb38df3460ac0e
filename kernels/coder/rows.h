// What an instruction set brings: the coder's loops over one row of symbols.
//
// Encoding runs backwards, so a frame's table entries are kept in coding order: the last symbol
// first. Lanes are held likewise: element j of a vector of states is lane N - 1 - j.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "coder/tables.h"
#include "isa.h"

namespace narrows {

// A symbol outside its row's table.
struct Escaped {
  size_t index;  // in the frame
  int16_t symbol;
};

// Not inline: code of one instruction set must not instantiate what others link to.
void append(std::vector<Escaped>& escaped, size_t index, int16_t symbol);
void append(std::vector<size_t>& escapes, size_t index);

// How a row of latent becomes symbols: round(value * gain - median), half to even, within
// +-32767; not-a-number becomes the lowest. Products and differences are rounded apart.
struct Quantiser {
  float gain;
  float median;
};

// And back: (symbol + median) * gain.
struct Dequantiser {
  float gain;
  float median;
};

// One packet's decoding between rows.
struct Cursor {
  const uint8_t* next;  // 16-bit words, least significant byte first
  const uint8_t* end;
  uint32_t states[kMaxLanes];
  bool ran_out;
};

struct RowKernels {
  // The table entries of a row's symbols, in coding order. Appends those outside the table to
  // `escaped`, `first` being the row's first index in the frame.
  void (*entries_of_symbols)(const int16_t* symbols, size_t count, const Channel& channel,
                             uint16_t* entries, std::vector<Escaped>& escaped, size_t first);
  void (*entries_of_latent)(const float* latent, size_t count, Quantiser quantiser,
                            const Channel& channel, uint16_t* entries,
                            std::vector<Escaped>& escaped, size_t first);

  // Pushes a row's entries onto 2 to 64 lanes. Returns where the next word goes; may write up to
  // kWordSlack words beyond.
  uint16_t* (*encode)(const uint16_t* entries, size_t count, const Channel& channel, int lanes,
                      uint32_t* states, uint16_t* words);

  // Pops a row's entries, in scan order, of one packet or of two with the same tables and lanes
  // (`cursors[1]` and `entries[1]` null for one). Sets `ran_out` where words end too early.
  void (*decode)(Cursor* const cursors[2], size_t count, const Channel& channel,
                 const ChannelDecoding& decoding, int lanes, uint16_t* const entries[2]);

  // Symbols or values of decoded entries. Appends the escapes' indices in the frame, `first` being
  // the row's first; what is left in their places means nothing.
  void (*symbols_of_entries)(const uint16_t* entries, size_t count, const Channel& channel,
                             int16_t* symbols, std::vector<size_t>& escapes, size_t first);
  void (*latent_of_entries)(const uint16_t* entries, size_t count, Dequantiser dequantiser,
                            const Channel& channel, float* latent, std::vector<size_t>& escapes,
                            size_t first);
};

constexpr size_t kWordSlack = 32;

extern const RowKernels kPortableRows, kAvx2Rows, kAvx512Rows, kNeonRows;

// Throws std::runtime_error where this machine or build lacks it.
const RowKernels& row_kernels(Isa isa);

}  // namespace narrows
