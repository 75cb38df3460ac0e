// The GPU's head for Python.
#pragma once

#include <nanobind/nanobind.h>

namespace narrows::cuda {

void bind_head(nanobind::module_& m);

}  // namespace narrows::cuda
