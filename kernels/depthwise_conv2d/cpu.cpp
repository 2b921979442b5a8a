// Depthwise convolution on the CPU: forward, gradient of the input, gradients of the weight and the bias.
#include "convolve.h"

namespace native::depthwise {
namespace {

// A weight (C, 1, kh, kw) as all images share it: (1, C, kh, kw).
template <typename T>
Tensor4<const T> shared(const Array<const T>& weight) {
  Tensor4<const T> all(weight);
  std::swap(all.batch, all.channels);
  std::swap(all.sb, all.sc);
  return all;
}

template <typename T>
void forward(Array<const T> x, Array<const T> weight, std::optional<Array<const T>> bias, Array<T> out, int dilation,
             int threads) {
  convolve<T>(Tensor4<const T>(x), shared<T>(weight), false, bias ? bias->data() : nullptr, Tensor4<T>(out), dilation,
              threads);
}

template <typename T>
void grad_input(Array<const T> grad, Array<const T> weight, Array<T> grad_x, int dilation, int threads) {
  convolve<T>(Tensor4<const T>(grad), shared<T>(weight), true, nullptr, Tensor4<T>(grad_x), dilation, threads);
}

// grad_weight is (C, 1, kh, kw) and grad_bias (C), both contiguous.
template <typename T>
void grad_weight(Array<const T> grad, Array<const T> x, Array<T> grad_weight, Array<T> grad_bias, int dilation,
                 int threads) {
  weight_gradient<T>(Tensor4<const T>(grad), Tensor4<const T>(x), 1, grad_weight.shape(2), grad_weight.shape(3),
                     dilation, grad_weight.data(), grad_bias.data(), threads);
}

template <typename T>
void bind_type(nb::module_& m) {
  using namespace nb::literals;
  using Release = nb::call_guard<nb::gil_scoped_release>;
  m.def("depthwise_conv2d_forward", &forward<T>, "x"_a, "weight"_a, "bias"_a.none(), "out"_a, "dilation"_a,
        "threads"_a, Release());
  m.def("depthwise_conv2d_grad_input", &grad_input<T>, "grad"_a, "weight"_a, "grad_x"_a, "dilation"_a, "threads"_a,
        Release());
  m.def("depthwise_conv2d_grad_weight", &grad_weight<T>, "grad"_a, "x"_a, "grad_weight"_a, "grad_bias"_a, "dilation"_a,
        "threads"_a, Release());
}

void bind(nb::module_& m) {
  bind_type<float>(m);
  bind_type<double>(m);
}

}  // namespace
}  // namespace native::depthwise

NATIVE_OPERATOR(native::depthwise::bind);
