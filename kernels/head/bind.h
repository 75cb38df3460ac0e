#pragma once

#include <nanobind/nanobind.h>

namespace narrows {

void bind_head(nanobind::module_& module);

}  // namespace narrows
