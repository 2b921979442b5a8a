// What every native operator shares: how it takes tensors (DLPack arrays, any strides) and how it is registered.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nb = nanobind;

namespace native {

template <typename T>
using Array = nb::ndarray<T, nb::device::cpu>;

using Bind = void (*)(nb::module_&);

inline std::vector<Bind>& bindings() {
  static std::vector<Bind> all;
  return all;
}

struct Registration {
  explicit Registration(Bind bind) { bindings().push_back(bind); }
};

}  // namespace native

// Registers `bind(nb::module_&)`, so that an operator is added without touching any other file.
#define NATIVE_OPERATOR(bind) static const ::native::Registration native_registration(bind)
