// The GPU's head in Python: a picture on the host to its latent there, or straight to its payload.
#include "cuda/bind_head.h"

#include <nanobind/ndarray.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "cuda/coder.h"
#include "cuda/head.h"
#include "cuda/upload.h"
#include "head/bind_plan.h"

namespace narrows::cuda {
namespace {

namespace nb = nanobind;

template <typename T, int N>
using Host = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
using Picture = Host<const uint8_t, 3>;

// Memory that is kept for the next picture. Not a pool's: not every Jetson has those.
template <typename T>
class Kept {
 public:
  Kept() = default;
  ~Kept() { cudaFree(data_); }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  T* of(size_t count) {
    if (count <= count_) return data_;
    cudaFree(data_);
    data_ = nullptr;
    count_ = 0;
    void* memory = nullptr;
    require(cudaMalloc(&memory, count * sizeof(T)), "memory for a picture");
    count_ = count;
    return data_ = static_cast<T*>(memory);
  }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
};

// One picture at a time, on a stream of its own.
class HeadOnGpu {
 public:
  HeadOnGpu(int device, Plan plan) : device_(device) {
    require(cudaSetDevice(device), "choosing a GPU");
    head_.emplace(std::move(plan));
    require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
  }
  ~HeadOnGpu() { cudaStreamDestroy(stream_); }

  void run(Picture picture, Host<float, 3> latent) {
    nb::gil_scoped_release unlocked;
    const std::lock_guard turn(mutex_);
    const float* found = enqueue(picture, latent.size());
    copy_back(latent.data(), found, latent.size());
  }

  // Payload, lanes and tail. `symbols`: of the latent, which the coder was made for.
  nb::tuple encode(Picture picture, size_t symbols, const Coder& coder, Host<const float, 1> gains,
                   Host<const float, 1> medians) {
    Encoded encoded;
    std::vector<uint8_t> payload;
    {
      nb::gil_scoped_release unlocked;
      const std::lock_guard turn(mutex_);
      const float* latent = enqueue(picture, symbols);
      std::vector<Quantiser> quantisers;
      for (size_t c = 0; c < gains.shape(0); ++c)
        quantisers.push_back({gains.data()[c], medians.data()[c]});
      copy_there(quantisers_.of(quantisers.size()), quantisers.data(), quantisers.size());
      const auto slot_bytes = static_cast<uint32_t>(kSlotBytesPerSymbol * symbols + 512);
      coder.encode(latent, quantisers_.of(0), 1, 0, slot_bytes,
                   words_.of(Coder::scratch_bytes(1, slot_bytes)), slot_.of(slot_bytes),
                   encoded_.of(1), stream_);
      copy_back(&encoded, encoded_.of(0), 1);
      payload.resize(encoded.bytes);
      copy_back(payload.data(), slot_.of(0), payload.size());
    }
    if (encoded.verdict != Verdict::ok) throw std::runtime_error("a payload beyond its slot");
    return nb::make_tuple(nb::bytes(payload.data(), payload.size()), encoded.lanes, encoded.tail);
  }

 private:
  // More than any symbol takes: 14 bits of its table and 37 of an escaped value.
  static constexpr size_t kSlotBytesPerSymbol = 8;

  const float* enqueue(const Picture& picture, size_t symbols) {
    require(cudaSetDevice(device_), "choosing a GPU");
    const size_t height = picture.shape(0), width = picture.shape(1);
    if (!layout_ || !layout_->fits(height, width)) layout_.emplace(head_->plan(), height, width);
    copy_there(picture_.of(picture.size()), picture.data(), picture.size());
    float* latent = latent_.of(symbols);
    head_->run(*layout_, picture_.of(0), scratch_.of(layout_->bytes()), latent, stream_);
    return latent;
  }

  template <typename T>
  void copy_there(T* to, const T* from, size_t count) {
    require(cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyHostToDevice, stream_),
            "copying to the GPU");
  }

  // And waits for it.
  template <typename T>
  void copy_back(T* to, const T* from, size_t count) {
    require(cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyDeviceToHost, stream_),
            "copying from the GPU");
    require(cudaStreamSynchronize(stream_), "waiting for the GPU");
  }

  int device_;
  std::optional<Head> head_;
  std::optional<HeadLayout> layout_;  // of the last picture
  cudaStream_t stream_ = nullptr;
  std::mutex mutex_;
  Kept<uint8_t> picture_, scratch_, words_, slot_;
  Kept<float> latent_;
  Kept<Quantiser> quantisers_;
  Kept<Encoded> encoded_;
};

}  // namespace

void bind_head(nb::module_& m) {
  nb::class_<HeadOnGpu>(m, "Head")
      .def("__init__", [](HeadOnGpu* self, int device,
                          nb::handle plan) { new (self) HeadOnGpu(device, plan_of(plan)); })
      .def("run", &HeadOnGpu::run)
      .def("encode", &HeadOnGpu::encode);
}

}  // namespace narrows::cuda
