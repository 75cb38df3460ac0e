// The kernels: warp w of the grid takes packet w.
#pragma once

#include "cuda/warp_decoder.cuh"
#include "cuda/warp_encoder.cuh"

namespace narrows::cuda {

constexpr uint32_t kWarpsPerBlock = 4;
constexpr uint32_t kBlock = kWarpsPerBlock * kWarp;

class DeviceWarp {
 public:
  __device__ DeviceWarp() : lane_(threadIdx.x % kWarp) {}
  __device__ uint32_t lane() const { return lane_; }
  __device__ uint32_t above() const { return ~((2u << lane_) - 1); }
  __device__ uint32_t below() const { return (1u << lane_) - 1; }
  __device__ uint32_t ballot(bool vote) const { return __ballot_sync(kAll, vote); }
  template <typename T>
  __device__ T shuffle(T value, uint32_t from) const {
    return __shfl_sync(kAll, value, from);
  }
  __device__ void sync() const { __syncwarp(); }

 private:
  static constexpr uint32_t kAll = 0xFFFFFFFF;
  uint32_t lane_;
};

NARROWS_DEVICE SymbolSource shifted(SymbolSource source, size_t by) {
  return {source.symbols + by};
}
NARROWS_DEVICE LatentSource shifted(LatentSource source, size_t by) {
  return {source.latent + by, source.quantisers};
}
NARROWS_DEVICE SymbolOutput shifted(SymbolOutput output, size_t by) {
  return {output.symbols + by};
}
NARROWS_DEVICE LatentOutput shifted(LatentOutput output, size_t by) {
  return {output.latent + by, output.dequantisers};
}

NARROWS_DEVICE size_t words_for(uint32_t slot_bytes) { return slot_bytes / 2 + kScratchSlack; }

__device__ inline size_t packet_of_warp() {
  return size_t{blockIdx.x} * kWarpsPerBlock + threadIdx.x / kWarp;
}

template <typename Source>
__global__ void __launch_bounds__(kBlock, 8)
    encode_kernel(TableView tables, RowView rows, Source source, size_t packets, uint32_t lanes,
                  uint32_t slot_bytes, uint16_t* scratch, uint8_t* payloads, Encoded* encoded) {
  const size_t packet = packet_of_warp();
  if (packet >= packets) return;
  const DeviceWarp warp;
  PacketEncoder<DeviceWarp, Source> encoder(warp, tables, rows,
                                            shifted(source, packet * rows.symbols()),
                                            scratch + packet * words_for(slot_bytes), slot_bytes);
  const Encoded result = encoder.encode(lanes, payloads + packet * slot_bytes);
  if (warp.lane() == 0) encoded[packet] = result;
}

template <typename Output>
__global__ void __launch_bounds__(kBlock, 8)
    decode_kernel(TableView tables, RowView rows, Output output, size_t packets,
                  const uint8_t* payloads, size_t payload_bytes, const Coded* coded,
                  Verdict* verdicts) {
  const size_t packet = packet_of_warp();
  if (packet >= packets) return;
  const DeviceWarp warp;
  PacketDecoder<DeviceWarp, Output> decoder(warp, tables, rows,
                                            shifted(output, packet * rows.symbols()));
  Coded mine = coded[packet];
  // A place beyond the payloads is a size that no packet has.
  if (mine.offset > payload_bytes || payload_bytes - mine.offset < mine.bytes)
    mine = {0, 0, mine.lanes, mine.tail};
  const Verdict verdict = decoder.decode(payloads + mine.offset, mine);
  if (warp.lane() == 0) verdicts[packet] = verdict;
}

}  // namespace narrows::cuda
