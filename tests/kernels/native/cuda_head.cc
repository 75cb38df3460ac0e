// The GPU's head, its blocks run on the host thread after thread, against narrows::Head.
// Usage: cuda_head SEED CASES BUNDLE...; exits with 1 at the first difference. The bundles' heads
// see noise and a smooth picture.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "cuda/flat_head.h"
#include "device/layers.h"
#include "head/head.h"
#include "isa.h"

namespace narrows::cuda {
namespace {

using Random = std::mt19937_64;

int below(Random& random, int end) { return static_cast<int>(random() % end); }

float real(Random& random, float least, float most) {
  return std::uniform_real_distribution<float>(least, most)(random);
}

// Weights of any byte, steps that fill 0..255 and leave it at both ends.
Stage convolution(Random& random, int inputs, int outputs, int kernel, int stride, int pad) {
  Stage stage{};
  stage.inputs = inputs;
  stage.outputs = outputs;
  stage.kernel = kernel;
  stage.stride = stride;
  stage.pad = pad;
  stage.source = -1;
  stage.quantised.resize(size_t(inputs) * outputs * kernel * kernel);
  for (int8_t& weight : stage.quantised) weight = static_cast<int8_t>(random());
  const float spread = 1.0f / (std::sqrt(float(inputs) * kernel * kernel) * 128 * 74);
  for (int o = 0; o < outputs; ++o) {
    stage.scale.push_back(spread * real(random, 0.5f, 2.0f));
    stage.bias.push_back(real(random, -1.0f, 1.0f));
  }
  stage.steps_per_unit = real(random, 30.0f, 120.0f);
  stage.zero = random() % 2 ? 0 : below(random, 256);
  return stage;
}

// A convolution, and behind it perhaps a ReLU, GDN1, or a residual of two.
void add(Plan& plan, Random& random, int outputs) {
  const int inputs = plan.stages.empty() ? 3 : plan.stages.back().outputs;
  const int kernel = 1 + below(random, 5);
  plan.stages.push_back(
      convolution(random, inputs, outputs, kernel, 1 + below(random, 3), below(random, kernel)));
  const int source = static_cast<int>(plan.stages.size()) - 1, what = below(random, 4);
  if (what == 1) plan.stages.back().after = Function::relu;
  if (what == 2) {
    Stage divisor = convolution(random, outputs, outputs, 1, 1, 0);
    divisor.before = Function::absolute;
    divisor.combination = Combination::divide;
    divisor.source = source;
    for (float& bias : divisor.bias) bias += 1.5f;
    plan.stages.push_back(divisor);
  }
  if (what == 3) {
    const int inner = 1 + below(random, 40);
    plan.stages.push_back(convolution(random, outputs, inner, 3, 1, 1));
    plan.stages.back().before = Function::relu;
    plan.stages.push_back(convolution(random, inner, outputs, 1, 1, 0));
    plan.stages.back().before = random() % 2 ? Function::relu : Function::none;
    plan.stages.back().combination = Combination::add;
    plan.stages.back().source = source;
  }
}

Plan random_plan(Random& random) {
  Plan plan{};
  plan.integer = true;
  for (uint8_t& border : plan.border) border = static_cast<uint8_t>(random());
  for (int left = 1 + below(random, 4); left > 0; --left) add(plan, random, 1 + below(random, 70));
  return plan;
}

// As the kernel does, a barrier being the end of a loop over the threads.
template <typename Inputs>
void run_block(const StageView& stage, Inputs inputs, uint32_t pixel, uint32_t column) {
  const auto tile = std::make_unique<HeadTile>();
  std::vector<HeadSums> sums(kTileThreads);
  for (uint32_t from = 0; from < stage.depth(); from += kWords) {
    for (uint32_t t = 0; t < kTileThreads; ++t)
      put(fetch(inputs, stage, corners(stage, pixel, t), column, from, t), t, *tile);
    for (uint32_t t = 0; t < kTileThreads; ++t) multiply(*tile, t, sums[t]);
  }
  for (uint32_t t = 0; t < kTileThreads; ++t) store(sums[t], stage, pixel, column, t);
}

void run_stage(const StageView& stage) {
  for (uint32_t x = 0; x < stage.tiles_across(); ++x)
    for (uint32_t y = 0; y < stage.tiles_down(); ++y)
      if (stage.picture)
        run_block(stage, PictureInputs{stage.picture}, x * kPixels, y * kChannels);
      else
        run_block(stage, FeatureInputs{stage.features, stage.words}, x * kPixels, y * kChannels);
}

// Memory is what it takes and not a byte more, for AddressSanitizer to see.
bool check(const Plan& plan, const std::vector<uint8_t>& picture, size_t height, size_t width,
           Random& random) {
  const narrows::Head head(plan, isa());
  const auto shape = head.latent_shape(height, width);
  if (!shape.height || !shape.width) return false;
  std::vector<float> found(shape.channels * shape.height * shape.width), wanted(found.size());
  head.run(picture.data(), height, width, wanted.data());

  const FlatHead flat(plan);
  const HeadLayout layout(flat.plan(), height, width);
  std::vector<uint32_t> scratch(layout.bytes() / 4);
  for (uint32_t& word : scratch) word = static_cast<uint32_t>(random());
  for (const StageView& stage :
       layout.stages(flat.plan(), flat.numbers(), picture.data(), scratch.data(), found.data()))
    run_stage(stage);
  if (std::memcmp(found.data(), wanted.data(), found.size() * sizeof(float)) == 0) return true;
  std::printf("%zu stages differ on %zu x %zu\n", plan.stages.size(), height, width);
  std::exit(1);
}

std::vector<uint8_t> noise(size_t height, size_t width, Random& random) {
  std::vector<uint8_t> picture(height * width * 3);
  for (uint8_t& pixel : picture) pixel = static_cast<uint8_t>(random());
  return picture;
}

std::vector<uint8_t> smooth(size_t height, size_t width) {
  std::vector<uint8_t> picture;
  for (size_t y = 0; y < height; ++y)
    for (size_t x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c)
        picture.push_back(
            static_cast<uint8_t>(128 + 60 * std::sin(0.05 * x + c) + 60 * std::cos(0.08 * y - c)));
  return picture;
}

void check_bundle(const std::string& folder, Random& random) {
  const Json manifest = Json::parse(read_file(folder + "/manifest.json", 1 << 24));
  const Tensors weights(folder + "/head_int8.safetensors");
  const Plan plan = plan_of_layers(manifest["head"]["int8_layers"], weights);
  check(plan, noise(224, 224, random), 224, 224, random);
  check(plan, smooth(208, 336), 208, 336, random);
}

void refuse(const Plan& plan) {
  try {
    FlatHead{plan};
  } catch (const std::invalid_argument&) {
    return;
  }
  std::printf("a plan that is not for a GPU was taken\n");
  std::exit(1);
}

}  // namespace
}  // namespace narrows::cuda

int main(int count, char** arguments) {
  using namespace narrows::cuda;
  Random random(std::strtoull(arguments[1], nullptr, 10));
  const int cases = std::atoi(arguments[2]);
  for (int done = 0; done < cases;) {
    const narrows::Plan plan = random_plan(random);
    const size_t height = 1 + random() % 60, width = 1 + random() % 60;
    done += check(plan, noise(height, width, random), height, width, random);
  }
  for (int i = 3; i < count; ++i) check_bundle(arguments[i], random);
  narrows::Plan plan = random_plan(random);
  plan.stages[0].after = narrows::Function::gelu;
  refuse(plan);
  plan.stages[0].after = narrows::Function::none;
  plan.stages[0].inputs = 4;
  refuse(plan);
  std::printf("%d latents equal\n", cases + 2 * (count - 3));
}
