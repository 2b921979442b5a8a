// Depthwise convolution with a kernel for each sample and channel: the loops of `depthwise_conv2d`, another weight a
// sample.
#include "depthwise_conv2d/convolve.h"

namespace native::depthwise {
namespace {

template <typename T>
void forward(Array<const T> x, Array<const T> kernel, Array<T> out, int threads) {
  convolve<T>(Tensor4<const T>(x), Tensor4<const T>(kernel), false, nullptr, Tensor4<T>(out), 1, threads);
}

template <typename T>
void grad_input(Array<const T> grad, Array<const T> kernel, Array<T> grad_x, int threads) {
  convolve<T>(Tensor4<const T>(grad), Tensor4<const T>(kernel), true, nullptr, Tensor4<T>(grad_x), 1, threads);
}

// grad_kernel is (B, C, kh, kw), contiguous.
template <typename T>
void grad_kernel(Array<const T> grad, Array<const T> x, Array<T> grad_kernel, int threads) {
  const Tensor4<T> to(grad_kernel);
  weight_gradient<T>(Tensor4<const T>(grad), Tensor4<const T>(x), to.batch, to.rows, to.columns, 1, to.data, nullptr,
                     threads);
}

template <typename T>
void bind_type(nb::module_& m) {
  using namespace nb::literals;
  using Release = nb::call_guard<nb::gil_scoped_release>;
  m.def("dynamic_depthwise_conv2d_forward", &forward<T>, "x"_a, "kernel"_a, "out"_a, "threads"_a, Release());
  m.def("dynamic_depthwise_conv2d_grad_input", &grad_input<T>, "grad"_a, "kernel"_a, "grad_x"_a, "threads"_a,
        Release());
  m.def("dynamic_depthwise_conv2d_grad_kernel", &grad_kernel<T>, "grad"_a, "x"_a, "grad_kernel"_a, "threads"_a,
        Release());
}

void bind(nb::module_& m) {
  bind_type<float>(m);
  bind_type<double>(m);
}

}  // namespace
}  // namespace native::depthwise

NATIVE_OPERATOR(native::depthwise::bind);
