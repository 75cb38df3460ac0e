// A head's plan out of Python: narrows.kernels.head.plan.Plan, which is checked there.
#pragma once

#include <nanobind/nanobind.h>

#include "head/plan.h"

namespace narrows {

Plan plan_of(nanobind::handle from);

}  // namespace narrows
