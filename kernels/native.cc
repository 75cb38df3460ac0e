// The Python face of the native kernels. Arguments are checked in narrows.kernels; every call that
// computes gives up the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

#include "coder/bind.h"
#include "field/bind.h"
#include "head/bind.h"
#include "isa.h"

NB_MODULE(_native, m) {
  m.def("isa", [] { return std::string(narrows::name_of(narrows::isa())); });
  m.def("isas", [] {
    nanobind::list names;
    for (const narrows::Isa isa : narrows::kAllIsas)
      if (narrows::has(isa)) names.append(narrows::name_of(isa));
    return names;
  });
  narrows::bind_coder(m);
  narrows::bind_field(m);
  narrows::bind_head(m);
}
