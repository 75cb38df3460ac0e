// The field product in Python. narrows.kernels.field checks shapes and threads.
#include "field/bind.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <string>

#include "field/field.h"

namespace narrows {
namespace {

namespace nb = nanobind;

template <typename T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

}  // namespace

void bind_field(nb::module_& m) {
  m.def("field_matmul", [](Matrix<const uint64_t> left, Matrix<const uint64_t> right, int bits,
                           int threads, const std::string& isa, Matrix<uint64_t> out) {
    nb::gil_scoped_release unlocked;
    return field_matmul(left.data(), right.data(), left.shape(0), left.shape(1), right.shape(1),
                        bits, threads, isa_of(isa), out.data());
  });
}

}  // namespace narrows
