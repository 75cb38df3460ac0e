#include "head/bind_plan.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>

#include <array>
#include <string>
#include <vector>

namespace narrows {
namespace {

namespace nb = nanobind;

template <typename T>
std::vector<T> numbers(nb::handle array) {
  const auto values =
      nb::cast<nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>>(array);
  return {values.data(), values.data() + values.shape(0)};
}

Function function_of(const std::string& name) {
  if (name == "relu") return Function::relu;
  if (name == "gelu") return Function::gelu;
  return name == "absolute" ? Function::absolute : Function::none;
}

Combination combination_of(const std::string& name) {
  if (name == "add") return Combination::add;
  return name == "divide" ? Combination::divide : Combination::none;
}

Stage stage_of(nb::handle from, bool integer) {
  const auto number = [&](const char* name) { return nb::cast<int>(from.attr(name)); };
  const auto text = [&](const char* name) { return nb::cast<std::string>(from.attr(name)); };
  Stage stage{number("inputs"),
              number("outputs"),
              number("kernel"),
              number("stride"),
              number("pad"),
              function_of(text("before")),
              function_of(text("after")),
              combination_of(text("combination")),
              number("source"),
              {},
              {},
              {},
              numbers<float>(from.attr("bias")),
              1,
              number("zero")};
  if (integer) {
    stage.quantised = numbers<int8_t>(from.attr("weight"));
    stage.scale = numbers<float>(from.attr("scale"));
    stage.steps_per_unit = nb::cast<float>(from.attr("steps_per_unit"));
  } else {
    stage.weight = numbers<float>(from.attr("weight"));
  }
  return stage;
}

}  // namespace

Plan plan_of(nb::handle from) {
  Plan plan;
  plan.integer = nb::cast<bool>(from.attr("integer"));
  const auto mean = nb::cast<std::array<float, 3>>(from.attr("mean"));
  const auto deviation = nb::cast<std::array<float, 3>>(from.attr("deviation"));
  const auto border = nb::cast<std::array<uint8_t, 3>>(from.attr("border"));
  for (int c = 0; c < 3; ++c) {
    plan.mean[c] = mean[c];
    plan.deviation[c] = deviation[c];
    plan.border[c] = border[c];
  }
  for (nb::handle stage : from.attr("stages")) plan.stages.push_back(stage_of(stage, plan.integer));
  return plan;
}

}  // namespace narrows
