// An int8 head on an NVIDIA GPU: a picture to its latent, equal to narrows::Head's bit for bit.
//
// Pointers named device_* are of the GPU the head was made on. A failed launch throws
// std::runtime_error.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/flat_head.h"

namespace narrows::cuda {

class Head {
 public:
  // Copies the weights to the current GPU, and waits for it. Throws std::invalid_argument for a
  // plan that does not fit together, in floating point, or with a GELU.
  explicit Head(Plan plan);
  ~Head();
  Head(const Head&) = delete;
  Head& operator=(const Head&) = delete;

  const Plan& plan() const { return plan_; }

  // `device_picture`: RGB, of the layout's size; `device_scratch`: layout.bytes() of memory. Fills
  // `device_latent`, channels x height x width. Enqueues onto the stream, a launch for each stage,
  // and returns: it neither allocates nor waits.
  void run(const HeadLayout& layout, const uint8_t* device_picture, void* device_scratch,
           float* device_latent, cudaStream_t stream) const;

 private:
  Plan plan_;     // without its weights
  void* memory_;  // what numbers_ points into
  HeadNumbers numbers_;
};

}  // namespace narrows::cuda
