#pragma once

#include <nanobind/nanobind.h>

namespace narrows {

void bind_field(nanobind::module_& module);

}  // namespace narrows
