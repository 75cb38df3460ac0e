// Batches of packets on an NVIDIA GPU, the bitstream of docs/bitstream.md: a warp for each packet.
//
// Pointers named device_* are of the GPU the coder was made on. Calls enqueue onto the stream and
// return: they neither allocate nor wait. A failed launch throws std::runtime_error.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cuda/views.h"

namespace narrows::cuda {

// How many GPUs there are that this build has code for; never throws.
int devices();

class Coder {
 public:
  // Copies the tables, and the rows of every frame to come, to the current GPU, and waits for it.
  // Throws std::invalid_argument for 2^31 symbols or more.
  Coder(const Tables& tables, Rows rows);
  ~Coder();
  Coder(const Coder&) = delete;
  Coder& operator=(const Coder&) = delete;

  // Of encode: words of each packet in turn, slot_bytes / 2 and kScratchSlack of them.
  static size_t scratch_bytes(size_t packets, uint32_t slot_bytes);

  // Frames one after another, (packets, symbols) -> payload i at slot_bytes * i, and what it is.
  // `lanes`: a power of two to 64, or 0 to choose by a payload's size as narrows::Encoder does;
  // `slot_bytes`: a multiple of 4.
  void encode(const float* device_latents, const Quantiser* device_quantisers, size_t packets,
              uint32_t lanes, uint32_t slot_bytes, void* device_scratch, uint8_t* device_payloads,
              Encoded* device_encoded, cudaStream_t stream) const;
  void encode(const int16_t* device_symbols, size_t packets, uint32_t lanes, uint32_t slot_bytes,
              void* device_scratch, uint8_t* device_payloads, Encoded* device_encoded,
              cudaStream_t stream) const;

  // Payloads, whatever their bytes, at their offsets of `payload_bytes` -> frames one after another
  // and a verdict each; zeros where it is not ok.
  void decode(const uint8_t* device_payloads, size_t payload_bytes, const Coded* device_coded,
              size_t packets, const Dequantiser* device_dequantisers, float* device_latents,
              Verdict* device_verdicts, cudaStream_t stream) const;
  void decode(const uint8_t* device_payloads, size_t payload_bytes, const Coded* device_coded,
              size_t packets, int16_t* device_symbols, Verdict* device_verdicts,
              cudaStream_t stream) const;

  size_t symbols() const { return symbols_; }  // of a frame
  size_t rows() const { return rows_; }

 private:
  void* memory_;  // everything below, in one piece
  TableView tables_;
  RowView starts_;
  size_t symbols_, rows_;
};

}  // namespace narrows::cuda
