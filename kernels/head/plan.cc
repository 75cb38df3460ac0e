#include "head/plan.h"

#include <stdexcept>
#include <string>
#include <utility>

namespace narrows {

size_t extent(const Stage& stage, size_t input) {
  const size_t padded = input + 2 * stage.pad, kernel = stage.kernel;
  return !input || padded < kernel ? 0 : (padded - kernel) / stage.stride + 1;
}

void check(const Plan& plan) {
  const auto fail = [](size_t stage, const char* what) {
    throw std::invalid_argument("stage " + std::to_string(stage) + ": " + what);
  };
  if (plan.stages.empty()) throw std::invalid_argument("a head needs a convolution");
  int inputs = 3;
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    const Stage& stage = plan.stages[s];
    const size_t outputs = stage.outputs;
    if (stage.inputs != inputs) fail(s, "its inputs are not the outputs before it");
    if (stage.outputs < 1 || stage.kernel < 1 || stage.stride < 1 || stage.pad < 0 ||
        stage.pad >= stage.kernel || stage.outputs > 4096 || stage.kernel > 64)
      fail(s, "impossible outputs, kernel, stride or pad");
    const size_t weights = outputs * inputs * stage.kernel * stage.kernel;
    if ((plan.integer ? stage.quantised.size() : stage.weight.size()) != weights)
      fail(s, "weights of another shape");
    if (stage.bias.size() != outputs || (plan.integer && stage.scale.size() != outputs))
      fail(s, "biases or scales of another shape");
    if (plan.integer && (stage.zero < 0 || stage.zero > 255)) fail(s, "a zero beyond 0..255");
    if (stage.combination != Combination::none) {
      if (stage.source < 0 || stage.source >= static_cast<int>(s)) fail(s, "no such source");
      if (plan.stages[stage.source].outputs != stage.outputs)
        fail(s, "its source has other channels");
    }
    inputs = stage.outputs;
  }
}

void check_sizes(const Plan& plan, size_t height, size_t width) {
  std::vector<std::pair<size_t, size_t>> sizes;
  for (const Stage& stage : plan.stages) {
    height = extent(stage, height);
    width = extent(stage, width);
    sizes.push_back({height, width});
    if (stage.combination != Combination::none && sizes[stage.source] != sizes.back())
      throw std::invalid_argument("a combination of stages of different sizes");
  }
}

}  // namespace narrows
