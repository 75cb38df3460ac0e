#include "head/head.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace narrows {
namespace {

size_t filled(size_t channels) {
  return (channels + kChannelsTogether - 1) / kChannelsTogether * kChannelsTogether;
}

// [block][kernel row][run / together][channel of the block][together], what is filled up being
// zero.
template <typename Weight>
std::vector<Weight> pack(const Stage& stage, const std::vector<Weight>& weights, size_t inputs,
                         size_t outputs, size_t block, size_t run, size_t together) {
  const size_t kernel = stage.kernel, wide = kernel * inputs;
  std::vector<Weight> packed(outputs * kernel * run);
  for (size_t o = 0; o < static_cast<size_t>(stage.outputs); ++o)
    for (size_t y = 0; y < kernel; ++y)
      for (size_t k = 0; k < wide; ++k) {
        const size_t x = k / inputs, i = k % inputs;
        if (i >= static_cast<size_t>(stage.inputs)) continue;
        const size_t group = (o / block * kernel + y) * run / together + k / together;
        packed[(group * block + o % block) * together + k % together] =
            weights[((o * stage.inputs + i) * kernel + y) * kernel + x];
      }
  return packed;
}

std::vector<float> fill(const std::vector<float>& values, size_t size, float rest) {
  std::vector<float> all = values;
  all.resize(size, rest);
  return all;
}

}  // namespace

// A stage's convolution as the tiles want it.
struct Head::Packed {
  size_t inputs;  // numbers of an input pixel: 3 of the picture, else filled up
  size_t outputs;
  FloatConvolution floats;
  IntegerConvolution integers;
  std::vector<float> weights;
  std::vector<int8_t> quantised;
  std::vector<int32_t> offset;
  std::vector<float> scale, bias;
};

Head::Head(Plan plan, Isa isa) : kernels_(head_kernels(isa)), plan_(std::move(plan)) {
  check(plan_);
  for (size_t s = 0; s < plan_.stages.size(); ++s) {
    Stage& stage = plan_.stages[s];
    Packed packed;
    packed.inputs = s ? filled(stage.inputs) : 3;
    packed.outputs = filled(stage.outputs);
    const size_t kernel = stage.kernel, step = stage.stride * packed.inputs;
    // Nothing divides by the zero of a channel that was filled up.
    const float rest = stage.combination == Combination::divide ? 1.0f : 0.0f;
    packed.bias = fill(stage.bias, packed.outputs, rest);
    if (plan_.integer) {
      const size_t block = kernels_.integers.block(packed.outputs);
      const size_t run = (kernel * packed.inputs + 3) / 4 * 4;
      packed.quantised = pack(stage, stage.quantised, packed.inputs, packed.outputs, block, run, 4);
      packed.scale = fill(stage.scale, packed.outputs, 0);
      const size_t each = stage.inputs * kernel * kernel;
      for (size_t o = 0; o < packed.outputs; ++o) {
        int32_t sum = 0;
        for (size_t i = 0; o < static_cast<size_t>(stage.outputs) && i < each; ++i)
          sum += stage.quantised[o * each + i];
        packed.offset.push_back(-(stage.zero + kernels_.integers.input_shift) * sum);
      }
      packed.integers = {packed.outputs, block, kernel, run, step, packed.quantised.data()};
    } else {
      const size_t block = kernels_.floats.block(packed.outputs), run = kernel * packed.inputs;
      packed.weights = pack(stage, stage.weight, packed.inputs, packed.outputs, block, run, 1);
      packed.floats = {packed.outputs, block, kernel, run, step, packed.weights.data()};
    }
    stage.weight = {};
    stage.quantised = {};
    packed_.push_back(std::move(packed));
  }
}

Head::~Head() = default;

Head::Shape Head::latent_shape(size_t height, size_t width) const {
  for (const Stage& stage : plan_.stages) {
    height = extent(stage, height);
    width = extent(stage, width);
  }
  return {static_cast<size_t>(plan_.stages.back().outputs), height, width};
}

// The rows of all stages for pictures of one size.
class Head::Rows {
 public:
  Rows(const Head& head, size_t height, size_t width)
      : head_(head), height_(height), width_(width) {
    const Plan& plan = head.plan_;
    check_sizes(plan, height, width);
    for (size_t s = 0; s < plan.stages.size(); ++s) {
      const Stage& stage = plan.stages[s];
      const Packed& packed = head.packed_[s];
      StageRows rows;
      rows.height = height;
      rows.width = width;
      rows.out_height = extent(stage, height);
      rows.out_width = extent(stage, width);
      rows.row = (width + 2 * stage.pad) * packed.inputs;
      rows.kept = std::bit_ceil<size_t>(stage.kernel);
      // A tile may read sixteen inputs at a time, beyond the row's end.
      const size_t size = (rows.kept + 1) * rows.row + 64;
      if (plan.integer) {
        rows.integers.resize(size);
        border(rows.integers, s);
      } else {
        rows.floats.resize(size);
      }
      rows.value_row = rows.out_width * packed.outputs;
      stages_.push_back(std::move(rows));
      height = stages_[s].out_height;
      width = stages_[s].out_width;
      if (stage.combination != Combination::none) keep(s);
    }
    for (StageRows& rows : stages_) rows.values.resize(rows.value_kept * rows.value_row);
  }

  bool fits(size_t height, size_t width) const { return height == height_ && width == width_; }

  void run(const uint8_t* picture, float* latent) {
    picture_ = picture;
    for (StageRows& rows : stages_) rows.made = rows.fed = 0;
    const StageRows& last = stages_.back();
    const size_t channels = head_.plan_.stages.back().outputs,
                 stride = head_.packed_.back().outputs;
    while (last.made < last.out_height) {
      const size_t y = last.made;
      make(stages_.size() - 1);
      const float* value = value_at(stages_.size() - 1, y);
      for (size_t c = 0; c < channels; ++c)
        for (size_t x = 0; x < last.out_width; ++x)
          latent[(c * last.out_height + y) * last.out_width + x] = value[x * stride + c];
    }
  }

 private:
  struct StageRows {
    size_t height = 0, width = 0, out_height = 0, out_width = 0;
    size_t row = 0, kept = 0;  // numbers of an input row with its padding; rows kept, and one of
                               // padding alone after them
    std::vector<float> floats;
    std::vector<uint8_t> integers;
    size_t value_row = 0, value_kept = 1;
    std::vector<float> values;
    size_t fed = 0, made = 0;  // input rows and values so far
  };

  // The source's rows must last until this stage has made the same ones.
  void keep(size_t s) {
    const Stage& stage = head_.plan_.stages[s];
    StageRows& source = stages_[stage.source];
    size_t behind = 1;
    for (size_t i = stage.source + 1; i <= s; ++i) behind += head_.plan_.stages[i].kernel;
    source.value_kept = std::max(source.value_kept, std::bit_ceil(behind));
  }

  // What lies outside the picture or the features: the border pixel, or the integer for 0.
  void border(std::vector<uint8_t>& rows, size_t s) {
    if (s) {
      std::fill(rows.begin(), rows.end(), static_cast<uint8_t>(head_.plan_.stages[s].zero));
    } else {
      for (size_t i = 0; i < rows.size(); ++i) rows[i] = head_.plan_.border[i % 3];
    }
  }

  float* value_at(size_t s, size_t y) {
    StageRows& rows = stages_[s];
    return rows.values.data() + (y & (rows.value_kept - 1)) * rows.value_row;
  }

  // Makes the next row of a stage's values, and before it the input rows that it needs.
  void make(size_t s) {
    const Stage& stage = head_.plan_.stages[s];
    StageRows& rows = stages_[s];
    const size_t y = rows.made, kernel = stage.kernel, pad = stage.pad;
    const size_t end =
        std::min(y * stage.stride + kernel - std::min(pad, y * stage.stride + kernel), rows.height);
    while (rows.fed < end) feed(s);
    float* value = value_at(s, y);
    const Packed& packed = head_.packed_[s];
    if (head_.plan_.integer) {
      const uint8_t* in[64];
      inputs(rows, y * stage.stride, stage, rows.integers.data(), in);
      head_.kernels_.integers.convolve(packed.integers, packed.offset.data(), packed.scale.data(),
                                       packed.bias.data(), in, rows.out_width, value);
    } else {
      const float* in[64];
      inputs(rows, y * stage.stride, stage, rows.floats.data(), in);
      head_.kernels_.floats.convolve(packed.floats, packed.bias.data(), in, rows.out_width, value);
    }
    const RowFunctions& functions = head_.kernels_.rows;
    if (stage.combination != Combination::none)
      functions.combine(stage.combination, value_at(stage.source, y), rows.value_row, value);
    if (stage.after != Function::none) functions.apply(stage.after, value, rows.value_row, value);
    ++rows.made;
  }

  template <typename Number>
  void inputs(const StageRows& rows, size_t first, const Stage& stage, const Number* numbers,
              const Number** in) {
    for (size_t i = 0; i < static_cast<size_t>(stage.kernel); ++i) {
      const size_t y = first + i - stage.pad;  // wraps around above the picture
      const size_t at = y < rows.height ? y & (rows.kept - 1) : rows.kept;
      in[i] = numbers + at * rows.row;
    }
  }

  // The next input row of a stage: from the picture, or from the stage before it.
  void feed(size_t s) {
    const Plan& plan = head_.plan_;
    const Stage& stage = plan.stages[s];
    StageRows& rows = stages_[s];
    const RowFunctions& functions = head_.kernels_.rows;
    const size_t at = (rows.fed & (rows.kept - 1)) * rows.row + stage.pad * head_.packed_[s].inputs;
    const size_t count = rows.width * head_.packed_[s].inputs;
    if (s == 0) {
      const uint8_t* pixels = picture_ + rows.fed * count;
      if (plan.integer) {
        std::memcpy(rows.integers.data() + at, pixels, count);
      } else {
        normalise(pixels, rows.floats.data() + at);
      }
    } else {
      const size_t y = rows.fed;
      while (stages_[s - 1].made <= y) make(s - 1);
      const float* value = value_at(s - 1, y);
      if (plan.integer) {
        functions.quantise(stage.before, value, count, stage.steps_per_unit,
                           static_cast<float>(stage.zero), rows.integers.data() + at);
      } else {
        functions.apply(stage.before, value, count, rows.floats.data() + at);
      }
    }
    ++rows.fed;
  }

  void normalise(const uint8_t* pixels, float* out) {
    const Plan& plan = head_.plan_;
    for (int c = 0; c < 3; ++c) {
      const float mean = plan.mean[c], deviation = plan.deviation[c];
      for (size_t x = 0; x < width_; ++x) out[3 * x + c] = (pixels[3 * x + c] - mean) / deviation;
    }
  }

  const Head& head_;
  const size_t height_, width_;
  const uint8_t* picture_ = nullptr;
  std::vector<StageRows> stages_;
};

void Head::run(const uint8_t* picture, size_t height, size_t width, float* latent) const {
  std::unique_ptr<Rows> rows;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      rows = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!rows || !rows->fits(height, width)) rows = std::make_unique<Rows>(*this, height, width);
  rows->run(picture, latent);
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(rows));
}

}  // namespace narrows
