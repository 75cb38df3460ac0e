#include <stdexcept>

#include "cuda/coder.h"
#include "cuda/flat_tables.h"
#include "cuda/kernels.cuh"
#include "cuda/upload.h"

namespace narrows::cuda {
namespace {

unsigned blocks_for(size_t packets) {
  return static_cast<unsigned>((packets + kWarpsPerBlock - 1) / kWarpsPerBlock);
}

void check_encoding(uint32_t lanes, uint32_t slot_bytes) {
  if (lanes > kMaxLanes || (lanes & (lanes - 1)))
    throw std::invalid_argument("lanes must be a power of two from 1 to 64, or 0");
  if (slot_bytes % 4) throw std::invalid_argument("slots must be multiples of 4 bytes");
}

}  // namespace

int devices() {
  int count = 0;
  cudaFuncAttributes attributes;
  if (cudaGetDeviceCount(&count) != cudaSuccess || !count ||
      cudaFuncGetAttributes(&attributes, encode_kernel<SymbolSource>) != cudaSuccess) {
    cudaGetLastError();  // it is told here, not by the next call
    return 0;
  }
  return count;
}

Coder::Coder(const Tables& tables, Rows rows) : symbols_(rows.symbols()), rows_(rows.count) {
  if (symbols_ >= size_t{1} << 31) throw std::invalid_argument("a frame of 2^31 symbols or more");
  if (rows.count != tables.channels().size())
    throw std::invalid_argument("a frame needs as many rows as there are tables");
  const FlatTables flat(tables);
  Upload upload;
  const size_t row_at = upload.add(flat.rows), push_at = upload.add(flat.pushes),
               pop_at = upload.add(flat.pops), find_at = upload.add(flat.finds),
               cost_at = upload.add(flat.costs),
               start_at =
                   upload.add(std::vector<uint32_t>(rows.starts, rows.starts + rows.count + 1));
  uint8_t* base = upload.copied();
  memory_ = base;
  tables_ = {at<TableRow>(base, row_at), at<PackedPush>(base, push_at), at<uint32_t>(base, pop_at),
             at<uint16_t>(base, find_at), at<uint32_t>(base, cost_at)};
  starts_ = {at<uint32_t>(base, start_at), static_cast<uint32_t>(rows.count)};
}

Coder::~Coder() { cudaFree(memory_); }

size_t Coder::scratch_bytes(size_t packets, uint32_t slot_bytes) {
  return packets * 2 * words_for(slot_bytes);
}

void Coder::encode(const float* device_latents, const Quantiser* device_quantisers, size_t packets,
                   uint32_t lanes, uint32_t slot_bytes, void* device_scratch,
                   uint8_t* device_payloads, Encoded* device_encoded, cudaStream_t stream) const {
  check_encoding(lanes, slot_bytes);
  if (!packets) return;
  encode_kernel<<<blocks_for(packets), kBlock, 0, stream>>>(
      tables_, starts_, LatentSource{device_latents, device_quantisers}, packets, lanes, slot_bytes,
      static_cast<uint16_t*>(device_scratch), device_payloads, device_encoded);
  require(cudaGetLastError(), "encoding latents");
}

void Coder::encode(const int16_t* device_symbols, size_t packets, uint32_t lanes,
                   uint32_t slot_bytes, void* device_scratch, uint8_t* device_payloads,
                   Encoded* device_encoded, cudaStream_t stream) const {
  check_encoding(lanes, slot_bytes);
  if (!packets) return;
  encode_kernel<<<blocks_for(packets), kBlock, 0, stream>>>(
      tables_, starts_, SymbolSource{device_symbols}, packets, lanes, slot_bytes,
      static_cast<uint16_t*>(device_scratch), device_payloads, device_encoded);
  require(cudaGetLastError(), "encoding symbols");
}

void Coder::decode(const uint8_t* device_payloads, size_t payload_bytes, const Coded* device_coded,
                   size_t packets, const Dequantiser* device_dequantisers, float* device_latents,
                   Verdict* device_verdicts, cudaStream_t stream) const {
  if (!packets) return;
  decode_kernel<<<blocks_for(packets), kBlock, 0, stream>>>(
      tables_, starts_,
      LatentOutput{reinterpret_cast<uint32_t*>(device_latents), device_dequantisers}, packets,
      device_payloads, payload_bytes, device_coded, device_verdicts);
  require(cudaGetLastError(), "decoding latents");
}

void Coder::decode(const uint8_t* device_payloads, size_t payload_bytes, const Coded* device_coded,
                   size_t packets, int16_t* device_symbols, Verdict* device_verdicts,
                   cudaStream_t stream) const {
  if (!packets) return;
  decode_kernel<<<blocks_for(packets), kBlock, 0, stream>>>(
      tables_, starts_, SymbolOutput{device_symbols}, packets, device_payloads, payload_bytes,
      device_coded, device_verdicts);
  require(cudaGetLastError(), "decoding symbols");
}

}  // namespace narrows::cuda
