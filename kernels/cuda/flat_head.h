// An integer head as it is copied to a GPU, and its stages for a picture of one size.
#pragma once

#include <stdexcept>
#include <vector>

#include "cuda/head.cuh"

namespace narrows::cuda {

// Where the numbers of all stages lie, one stage after another.
struct HeadNumbers {
  const uint32_t* weights;
  const int32_t* offsets;
  const float *scales, *biases;
};

constexpr size_t kMostNumbers = INT32_MAX;

// The plan keeps no weights. Throws std::invalid_argument for a plan that does not fit together, in
// floating point, or with a GELU.
class FlatHead {
 public:
  std::vector<uint32_t> weights;
  std::vector<int32_t> offsets;
  std::vector<float> scales, biases;

  explicit FlatHead(Plan plan) : plan_(std::move(plan)) {
    check(plan_);
    if (!plan_.integer) throw std::invalid_argument("a head in floating point: it runs on the CPU");
    for (Stage& stage : plan_.stages) {
      if (stage.before == Function::gelu || stage.after == Function::gelu)
        throw std::invalid_argument("a GELU's curve is each machine's own: it runs on the CPU");
      add(stage);
      stage.quantised = {};
    }
    if (weights.size() > kMostNumbers) throw std::invalid_argument("2^31 weights or more");
  }

  const Plan& plan() const { return plan_; }
  HeadNumbers numbers() const {
    return {weights.data(), offsets.data(), scales.data(), biases.data()};
  }

 private:
  // Four inputs to a word, what is filled up being zero.
  void add(const Stage& stage) {
    const uint32_t kernel = stage.kernel, words = (stage.inputs + 3) / 4,
                   columns = columns_of(stage);
    const size_t begin = weights.size(), first = offsets.size(), each = kernel * kernel;
    weights.resize(begin + each * words * columns);
    for (uint32_t o = 0; o < static_cast<uint32_t>(stage.outputs); ++o) {
      int32_t sum = 0;
      for (uint32_t i = 0; i < static_cast<uint32_t>(stage.inputs); ++i)
        for (size_t place = 0; place < each; ++place) {
          const int8_t weight = stage.quantised[(size_t{o} * stage.inputs + i) * each + place];
          weights[begin + (place * words + i / 4) * columns + o] |=
              uint32_t{static_cast<uint8_t>(weight)} << i % 4 * 8;
          sum += weight;
        }
      offsets.push_back(-stage.zero * sum);
    }
    offsets.resize(first + columns);
    scales.insert(scales.end(), stage.scale.begin(), stage.scale.end());
    scales.resize(first + columns);
    biases.insert(biases.end(), stage.bias.begin(), stage.bias.end());
    biases.resize(first + columns);
  }

 public:
  static uint32_t columns_of(const Stage& stage) {
    return (stage.outputs + kChannels - 1) / kChannels * kChannels;
  }

 private:
  Plan plan_;
};

// What a picture of one size needs beside itself and its latent: every stage's features for the
// next, and its values where a later one combines with them.
class HeadLayout {
 public:
  // Throws std::invalid_argument where the plan cannot run on that size.
  HeadLayout(const Plan& plan, size_t height, size_t width) : height_(height), width_(width) {
    check_sizes(plan, height, width);
    if (height >= kMostSide || width >= kMostSide)
      throw std::invalid_argument("a picture of a side of 16384 pixels or more");
    for (const Stage& stage : plan.stages) {
      height = extent(stage, height);
      width = extent(stage, width);
      const size_t pixels = height * width, outputs = stage.outputs;
      if (pixels * outputs > kMostNumbers) throw std::invalid_argument("2^31 features or more");
      features_.push_back(take(pixels * ((outputs + 3) / 4)));
      values_.push_back(kNowhere);
      pixels_.push_back(pixels);
    }
    for (const Stage& stage : plan.stages)
      if (stage.combination != Combination::none && values_[stage.source] == kNowhere)
        values_[stage.source] = take(pixels_[stage.source] * plan.stages[stage.source].outputs);
  }

  size_t bytes() const { return 4 * words_; }
  bool fits(size_t height, size_t width) const { return height == height_ && width == width_; }

  // In order; `scratch` has bytes() bytes.
  std::vector<StageView> stages(const Plan& plan, HeadNumbers numbers, const uint8_t* picture,
                                uint32_t* scratch, float* latent) const {
    std::vector<StageView> views;
    uint32_t height = height_, width = width_;
    for (size_t s = 0; s < plan.stages.size(); ++s) {
      const Stage& stage = plan.stages[s];
      const bool first = s == 0, last = s + 1 == plan.stages.size();
      StageView view{};
      view.picture = first ? picture : nullptr;
      view.features = first ? nullptr : scratch + features_[s - 1];
      view.height = height;
      view.width = width;
      view.words = (stage.inputs + 3) / 4;
      view.border = first ? plan.border[0] | plan.border[1] << 8 | plan.border[2] << 16
                          : stage.zero * 0x01010101u;
      view.kernel = stage.kernel;
      view.stride = stage.stride;
      view.pad = stage.pad;
      view.out_height = height = extent(stage, height);
      view.out_width = width = extent(stage, width);
      view.outputs = stage.outputs;
      view.columns = FlatHead::columns_of(stage);
      view.weights = numbers.weights;
      view.offsets = numbers.offsets;
      view.scales = numbers.scales;
      view.biases = numbers.biases;
      view.combination = stage.combination;
      view.after = stage.after;
      if (stage.combination != Combination::none)
        view.source = reinterpret_cast<float*>(scratch + values_[stage.source]);
      if (values_[s] != kNowhere) view.values = reinterpret_cast<float*>(scratch + values_[s]);
      if (last) view.values = latent;
      if (!last) {
        const Stage& next = plan.stages[s + 1];
        view.next = scratch + features_[s];
        view.before_next = next.before;
        view.next_steps = next.steps_per_unit;
        view.next_zero = static_cast<float>(next.zero);
      }
      numbers.weights += size_t{view.depth()} * view.columns;
      numbers.offsets += view.columns;
      numbers.scales += view.columns;
      numbers.biases += view.columns;
      views.push_back(view);
    }
    return views;
  }

 private:
  static constexpr size_t kNowhere = ~size_t{0}, kMostSide = 1 << 14;

  size_t take(size_t words) {
    const size_t at = words_;
    words_ += words;
    return at;
  }

  size_t height_, width_, words_ = 0;
  std::vector<size_t> features_, values_, pixels_;
};

}  // namespace narrows::cuda
