// The permutohedral filter: a lattice built once for the features of one image, then splat, blur and slice on it.
#include "filter.h"

#include <nanobind/stl/unique_ptr.h>

#include <memory>

#include "native.h"

namespace {

using permutohedral::Filter;

// features: (F, N), any strides.
template <typename T>
std::unique_ptr<Filter<T>> build(const native::Array<T>& features, bool bridges, int threads) {
  const int dims = static_cast<int>(features.shape(0)), points = static_cast<int>(features.shape(1));
  std::vector<double> rows(std::size_t(points) * dims);
  for (int n = 0; n < points; ++n) {
    for (int f = 0; f < dims; ++f) {
      rows[std::size_t(n) * dims + f] = features.data()[f * features.stride(0) + n * features.stride(1)];
    }
  }
  return std::make_unique<Filter<T>>(rows.data(), points, dims, bridges, threads);
}

template <typename T>
void bind_dtype(nb::module_& m, const char* name) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<Filter<T>>(m, name)
      .def_prop_ro("points", &Filter<T>::points)
      .def_prop_ro("vertices", &Filter<T>::vertices)
      .def("apply", &Filter<T>::apply, "values"_a.noconvert(), "out"_a.noconvert(), "transpose"_a, "threads"_a, release);
  m.def("permutohedral_lattice", &build<T>, "features"_a.noconvert(), "bridges"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m, "PermutohedralLatticeFloat");
  bind_dtype<double>(m, "PermutohedralLatticeDouble");
}

NATIVE_OPERATOR(bind);

}  // namespace
