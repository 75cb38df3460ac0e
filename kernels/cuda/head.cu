#include "cuda/head.h"
#include "cuda/upload.h"

namespace narrows::cuda {
namespace {

// A block for each tile.
template <typename Inputs>
__global__ void __launch_bounds__(kTileThreads)
    run_stage(const __grid_constant__ StageView stage, Inputs inputs) {
  __shared__ HeadTile tile;
  const uint32_t pixel = blockIdx.x * kPixels, column = blockIdx.y * kChannels;
  const HeadCorners windows = corners(stage, pixel, threadIdx.x);
  HeadSums sums;
  Fetched fetched = fetch(inputs, stage, windows, column, 0, threadIdx.x);
  for (uint32_t from = kWords; from < stage.depth() + kWords; from += kWords) {
    put(fetched, threadIdx.x, tile);
    __syncthreads();
    if (from < stage.depth()) fetched = fetch(inputs, stage, windows, column, from, threadIdx.x);
    multiply(tile, threadIdx.x, sums);
    __syncthreads();
  }
  store(sums, stage, pixel, column, threadIdx.x);
}

}  // namespace

Head::Head(Plan plan) {
  FlatHead flat(std::move(plan));
  Upload upload;
  const size_t weight_at = upload.add(flat.weights), offset_at = upload.add(flat.offsets),
               scale_at = upload.add(flat.scales), bias_at = upload.add(flat.biases);
  uint8_t* base = upload.copied();
  memory_ = base;
  numbers_ = {at<uint32_t>(base, weight_at), at<int32_t>(base, offset_at),
              at<float>(base, scale_at), at<float>(base, bias_at)};
  plan_ = flat.plan();
}

Head::~Head() { cudaFree(memory_); }

void Head::run(const HeadLayout& layout, const uint8_t* device_picture, void* device_scratch,
               float* device_latent, cudaStream_t stream) const {
  auto* scratch = static_cast<uint32_t*>(device_scratch);
  for (const StageView& stage :
       layout.stages(plan_, numbers_, device_picture, scratch, device_latent)) {
    const dim3 tiles(stage.tiles_across(), stage.tiles_down());
    if (stage.picture)
      run_stage<<<tiles, kTileThreads, 0, stream>>>(stage, PictureInputs{stage.picture});
    else
      run_stage<<<tiles, kTileThreads, 0, stream>>>(stage,
                                                    FeatureInputs{stage.features, stage.words});
    require(cudaGetLastError(), "running the head");
  }
}

}  // namespace narrows::cuda
