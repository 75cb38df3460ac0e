// A bundle's layer list as a plan: head/plan.py has the list's meaning.
#pragma once

#include "device/json.h"
#include "device/tensors.h"
#include "head/plan.h"

namespace narrows {

// Throws std::invalid_argument for a list or tensors that do not fit together.
Plan plan_of_layers(const Json& layers, const Tensors& tensors);

}  // namespace narrows
