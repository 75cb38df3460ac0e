// A head in Python. narrows.kernels.head makes the plan and checks the pictures.
#include "head/bind.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <string>

#include "head/bind_plan.h"
#include "head/head.h"

namespace narrows {
namespace {

namespace nb = nanobind;

template <typename T, int N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

}  // namespace

void bind_head(nb::module_& m) {
  nb::class_<Head>(m, "Head")
      .def("__init__", [](Head* self, nb::handle plan,
                          const std::string& isa) { new (self) Head(plan_of(plan), isa_of(isa)); })
      .def("latent_shape",
           [](const Head& head, size_t height, size_t width) {
             const Head::Shape shape = head.latent_shape(height, width);
             return nb::make_tuple(shape.channels, shape.height, shape.width);
           })
      .def("run", [](const Head& head, Array<const uint8_t, 3> picture, Array<float, 3> latent) {
        nb::gil_scoped_release unlocked;
        head.run(picture.data(), picture.shape(0), picture.shape(1), latent.data());
      });
}

}  // namespace narrows
