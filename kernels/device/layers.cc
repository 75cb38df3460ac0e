#include "device/layers.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace narrows {
namespace {

class Builder {
 public:
  explicit Builder(const Tensors& tensors) : tensors_(tensors) {
    std::fill_n(plan_.deviation, 3, 1.0f);
  }

  Plan built(const Json& layers) {
    add_all(layers);
    if (plan_.stages.empty() || before_ != Function::none)
      throw std::invalid_argument("a head begins and ends with convolutions");
    plan_.integer = plan_.stages[0].weight.empty();
    for (int c = 0; c < 3; ++c)
      plan_.border[c] = static_cast<uint8_t>(std::clamp(std::nearbyint(plan_.mean[c]), 0.f, 255.f));
    return std::move(plan_);
  }

 private:
  void add_all(const Json& layers) {
    for (const Json& layer : layers.as_list()) {
      const std::string& op = layer["op"].as_text();
      if (op == "normalise") {
        normalise(layer);
      } else if (op == "conv") {
        convolve(layer);
      } else if (op == "relu" || op == "gelu") {
        apply(op == "relu" ? Function::relu : Function::gelu);
      } else if (op == "gdn1") {
        divide(layer);
      } else if (op == "residual") {
        add_residual(layer);
      } else {
        throw std::invalid_argument("a layer " + op + ": this build does not know it");
      }
    }
  }

  void normalise(const Json& layer) {
    const std::vector<Json>&mean = layer["mean"].as_list(), &deviation = layer["std"].as_list();
    if (mean.size() != 3 || deviation.size() != 3 || !plan_.stages.empty())
      throw std::invalid_argument("normalise comes first, with three means and deviations");
    for (int c = 0; c < 3; ++c) {
      plan_.mean[c] = static_cast<float>(mean[c].as_number());
      plan_.deviation[c] = static_cast<float>(deviation[c].as_number());
    }
  }

  void convolve(const Json& layer) {
    const std::string& name = layer["weights"].as_text();
    Stage stage = stage_of(layer, name + ".weight", name + ".bias", 0.0f);
    stage.stride = layer["stride"].as_integer();
    stage.pad = layer["pad"].as_integer();
    append(std::move(stage));
  }

  void divide(const Json& layer) {
    const std::string& name = layer["weights"].as_text();
    const bool exact = tensors_.has(name + ".gamma");
    if (plan_.stages.empty()) throw std::invalid_argument("gdn1 divides a convolution's value");
    Stage stage = stage_of(layer, name + (exact ? ".gamma" : ".weight"),
                           name + (exact ? ".beta" : ".bias"), 1.0f);
    stage.combination = Combination::divide;
    stage.source = static_cast<int>(plan_.stages.size()) - 1;
    before_ = Function::absolute;
    append(std::move(stage));
  }

  void add_residual(const Json& layer) {
    const int source = static_cast<int>(plan_.stages.size()) - 1;
    keep_ = true;
    add_all(layer["body"]);
    if (source < 0 || static_cast<int>(plan_.stages.size()) == source + 1 ||
        plan_.stages.back().combination != Combination::none ||
        plan_.stages.back().after != Function::none)
      throw std::invalid_argument("a residual's body ends with a convolution");
    plan_.stages.back().combination = Combination::add;
    plan_.stages.back().source = source;
  }

  void apply(Function function) {
    if (plan_.stages.empty()) throw std::invalid_argument("a function of the picture");
    Function& place = keep_ ? before_ : plan_.stages.back().after;
    if (place != Function::none) throw std::invalid_argument("a function right after another");
    place = function;
  }

  Stage stage_of(const Json& layer, const std::string& weight, const std::string& bias,
                 float rest) {
    std::vector<size_t> shape = tensors_.shape(weight);
    if (shape.size() == 2) shape.insert(shape.end(), {1, 1});
    if (shape.size() != 4 || shape[2] != shape[3] || shape[0] > 4096 || shape[1] > 4096)
      throw std::invalid_argument(weight + ": expected outputs x inputs x kernel x kernel");
    Stage stage{};
    stage.outputs = static_cast<int>(shape[0]);
    stage.inputs = static_cast<int>(shape[1]);
    stage.kernel = static_cast<int>(shape[2]);
    stage.stride = 1;
    stage.source = -1;
    stage.steps_per_unit = 1;
    const std::string scale = weight.substr(0, weight.rfind('.')) + ".scale";
    if (tensors_.has(scale)) {
      stage.quantised = tensors_.bytes(weight);
      stage.scale = tensors_.floats(scale);
      stage.steps_per_unit = 1 / static_cast<float>(layer["input_scale"].as_number());
      stage.zero = layer["input_zero"].as_integer();
    } else {
      stage.weight = tensors_.floats(weight);
    }
    stage.bias = tensors_.has(bias) ? tensors_.floats(bias) : std::vector<float>(shape[0], rest);
    return stage;
  }

  void append(Stage stage) {
    stage.before = before_;
    plan_.stages.push_back(std::move(stage));
    before_ = Function::none;
    keep_ = false;
  }

  const Tensors& tensors_;
  Plan plan_{};
  Function before_ = Function::none;  // of the next convolution's input
  bool keep_ = false;                 // the last value is wanted as it is
};

}  // namespace

Plan plan_of_layers(const Json& layers, const Tensors& tensors) {
  return Builder(tensors).built(layers);
}

}  // namespace narrows
