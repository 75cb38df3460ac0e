#pragma once

#include <nanobind/nanobind.h>

namespace narrows {

void bind_coder(nanobind::module_& module);

}  // namespace narrows
