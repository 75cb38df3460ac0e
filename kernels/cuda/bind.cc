// The GPU's coder in Python: frames on a GPU to payloads on the host, and back.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <stdexcept>
#include <vector>

#include "cuda/bind_head.h"
#include "cuda/coder.h"
#include "cuda/field.h"

namespace narrows::cuda {
namespace {

namespace nb = nanobind;

template <typename T>
using Host = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Latents = nb::ndarray<const float, nb::ndim<4>, nb::c_contig, nb::device::cuda>;
using LatentsOut = nb::ndarray<float, nb::ndim<4>, nb::c_contig, nb::device::cuda>;
template <typename T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cuda>;

void require(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

// Memory of the stream's: what was enqueued before the end of its life may still use it.
template <typename T>
class Buffer {
 public:
  Buffer(size_t count, cudaStream_t stream) : stream_(stream) {
    void* memory = nullptr;
    require(cudaMallocAsync(&memory, count * sizeof(T) + 1, stream));
    data_ = static_cast<T*>(memory);
  }
  Buffer(const std::vector<T>& values, cudaStream_t stream) : Buffer(values.size(), stream) {
    require(cudaMemcpyAsync(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice,
                            stream));
  }
  ~Buffer() { cudaFreeAsync(data_, stream_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* data() const { return data_; }
  std::vector<T> fetched(size_t count) const {
    std::vector<T> values(count);
    require(
        cudaMemcpyAsync(values.data(), data_, count * sizeof(T), cudaMemcpyDeviceToHost, stream_));
    require(cudaStreamSynchronize(stream_));
    return values;
  }

 private:
  T* data_ = nullptr;
  cudaStream_t stream_;
};

template <typename Pair>
std::vector<Pair> paired(const Host<float>& gains, const Host<float>& medians) {
  std::vector<Pair> pairs;
  for (size_t c = 0; c < gains.shape(0); ++c) pairs.push_back({gains.data()[c], medians.data()[c]});
  return pairs;
}

Coder* make_coder(int device, Host<int32_t> offsets, Host<int32_t> lengths, Host<uint16_t> cdf,
                  size_t area) {
  require(cudaSetDevice(device));
  const Tables tables(offsets.data(), lengths.data(), offsets.shape(0), cdf.data(), cdf.shape(0));
  std::vector<size_t> starts;
  for (size_t c = 0; c <= offsets.shape(0); ++c) starts.push_back(c * area);
  return new Coder(tables, {starts.data(), offsets.shape(0)});
}

// Per frame: payload, lanes, tail and verdict.
nb::list encode(const Coder& coder, Latents latents, Host<float> gain, Host<float> median,
                uint32_t lanes, uint32_t slot_bytes, uintptr_t stream_handle) {
  const auto stream = reinterpret_cast<cudaStream_t>(stream_handle);
  const size_t packets = latents.shape(0);
  std::vector<Encoded> encoded;
  std::vector<std::vector<uint8_t>> payloads(packets);
  {
    nb::gil_scoped_release unlocked;
    require(cudaSetDevice(latents.device_id()));
    const Buffer<Quantiser> quantisers(paired<Quantiser>(gain, median), stream);
    const Buffer<uint8_t> scratch(Coder::scratch_bytes(packets, slot_bytes), stream);
    const Buffer<uint8_t> slots(packets * slot_bytes, stream);
    const Buffer<Encoded> results(packets, stream);
    coder.encode(latents.data(), quantisers.data(), packets, lanes, slot_bytes, scratch.data(),
                 slots.data(), results.data(), stream);
    encoded = results.fetched(packets);
    for (size_t i = 0; i < packets; ++i) {
      payloads[i].resize(encoded[i].bytes);
      require(cudaMemcpyAsync(payloads[i].data(), slots.data() + i * slot_bytes, encoded[i].bytes,
                              cudaMemcpyDeviceToHost, stream));
    }
    require(cudaStreamSynchronize(stream));
  }
  nb::list found;
  for (size_t i = 0; i < packets; ++i)
    found.append(nb::make_tuple(nb::bytes(payloads[i].data(), payloads[i].size()), encoded[i].lanes,
                                encoded[i].tail, static_cast<uint32_t>(encoded[i].verdict)));
  return found;
}

// Frames are (payload, lanes, tail); a verdict for each.
nb::list decode(const Coder& coder, nb::list frames, Host<float> inverse_gain, Host<float> median,
                LatentsOut out, uintptr_t stream_handle) {
  const auto stream = reinterpret_cast<cudaStream_t>(stream_handle);
  std::vector<uint8_t> bytes;
  std::vector<Coded> coded;
  for (nb::handle frame : frames) {
    const auto payload = nb::cast<nb::bytes>(frame[0]);
    const auto* data = static_cast<const uint8_t*>(payload.data());
    coded.push_back({bytes.size(), static_cast<uint32_t>(payload.size()),
                     nb::cast<uint32_t>(frame[1]), nb::cast<uint32_t>(frame[2])});
    bytes.insert(bytes.end(), data, data + payload.size());
    bytes.resize((bytes.size() + 3) / 4 * 4);
  }
  std::vector<Verdict> verdicts;
  {
    nb::gil_scoped_release unlocked;
    require(cudaSetDevice(out.device_id()));
    const Buffer<Dequantiser> dequantisers(paired<Dequantiser>(inverse_gain, median), stream);
    const Buffer<uint8_t> payloads(bytes, stream);
    const Buffer<Coded> places(coded, stream);
    const Buffer<Verdict> results(coded.size(), stream);
    coder.decode(payloads.data(), bytes.size(), places.data(), coded.size(), dequantisers.data(),
                 out.data(), results.data(), stream);
    verdicts = results.fetched(coded.size());
  }
  nb::list found;
  for (const Verdict verdict : verdicts) found.append(static_cast<uint32_t>(verdict));
  return found;
}

// False where an entry is not below the prime. narrows.kernels.cuda checks shapes.
bool multiply(Matrix<const uint64_t> left, Matrix<const uint64_t> right, int bits,
              Matrix<uint64_t> out, uintptr_t stream_handle) {
  nb::gil_scoped_release unlocked;
  const auto stream = reinterpret_cast<cudaStream_t>(stream_handle);
  require(cudaSetDevice(out.device_id()));
  const Buffer<uint32_t> wrong(std::vector<uint32_t>{0}, stream);
  field_matmul(left.data(), right.data(), left.shape(0), left.shape(1), right.shape(1), bits,
               out.data(), wrong.data(), stream);
  return wrong.fetched(1)[0] == 0;
}

}  // namespace
}  // namespace narrows::cuda

NB_MODULE(_cuda, m) {
  using namespace narrows::cuda;
  m.def("devices", &devices);
  m.def("device_of",
        [](nanobind::ndarray<nanobind::device::cuda> array) { return array.device_id(); });
  m.def("field_matmul", &multiply);
  nanobind::class_<Coder>(m, "Coder")
      .def(nanobind::new_(&make_coder))
      .def("encode", &encode)
      .def("decode", &decode);
  bind_head(m);
}
