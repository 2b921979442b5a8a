// Depthwise convolution on the CPU: forward, gradient of the input, gradients of the weight and the bias.
//
// A vector holds one position of neighbouring channels, so that no sum ever crosses lanes. `correlate.h` does many taps
// (arithmetic decides), `stream.h` few taps in channels-last memory (memory decides).
#include "correlate.h"
#include "stream.h"

namespace native::depthwise {
namespace {

template <typename T>
void convolve(const Tensor4<const T>& x, const Tensor4<const T>& weight, bool turned, const T* bias,
              const Tensor4<T>& out, int dilation, int threads) {
  const int size = stream_size(x, out, weight.rows, weight.columns, dilation);
  const Channels<T> channels{x.channels, size > 0};
  const std::vector<T> kernel = pack_weight(weight, channels, turned);
  const std::vector<T> start = pack_bias(bias, channels);
  if (size == 3) return stream<T, 3>(x, kernel.data(), start.data(), out, threads);
  if (size == 5) return stream<T, 5>(x, kernel.data(), start.data(), out, threads);
  const Geometry g{weight.rows, weight.columns, dilation * (weight.rows / 2), dilation * (weight.columns / 2),
                   1,           dilation};
  correlate_images(x, kernel.data(), start.data(), out, g, threads);
}

// Adds up the partial sums [piece][vector][tap, then bias][lane] in the order of the pieces.
template <typename T>
void add_partials(const std::vector<T>& partial, int pieces, const Channels<T>& channels, int taps, T* grad_weight,
                  T* grad_bias, int threads) {
  const size_t share = static_cast<size_t>(taps + 1) * kLanes<T>;
#pragma omp parallel for num_threads(threads)
  for (int v = 0; v < channels.vectors(); ++v)
    for (int t = 0; t <= taps; ++t) {
      Vec<T> sum{};
      for (int p = 0; p < pieces; ++p)
        sum += load(&partial[(static_cast<size_t>(p) * channels.vectors() + v) * share + t * kLanes<T>]);
      for (int l = v * kLanes<T> - channels.first(v); l < channels.count(v); ++l) {
        const int c = channels.first(v) + l;
        (t < taps ? grad_weight[static_cast<size_t>(c) * taps + t] : grad_bias[c]) = sum[l];
      }
    }
}

template <typename T>
void forward(Array<const T> x, Array<const T> weight, std::optional<Array<const T>> bias, Array<T> out, int dilation,
             int threads) {
  convolve<T>(Tensor4<const T>(x), Tensor4<const T>(weight), false, bias ? bias->data() : nullptr, Tensor4<T>(out),
              dilation, threads);
}

template <typename T>
void grad_input(Array<const T> grad, Array<const T> weight, Array<T> grad_x, int dilation, int threads) {
  convolve<T>(Tensor4<const T>(grad), Tensor4<const T>(weight), true, nullptr, Tensor4<T>(grad_x), dilation, threads);
}

// grad_weight is (C, 1, kh, kw) and grad_bias (C), both contiguous.
template <typename T>
void grad_weight(Array<const T> grad_array, Array<const T> x_array, Array<T> grad_weight_array,
                 Array<T> grad_bias_array, int dilation, int threads) {
  const Tensor4<const T> grad(grad_array), x(x_array);
  const int kh = grad_weight_array.shape(2), kw = grad_weight_array.shape(3);
  const int size = stream_size(x, grad, kh, kw, dilation);
  const Channels<T> channels{x.channels, size > 0};
  std::vector<T> partial;
  int pieces;
  if (size == 3) {
    pieces = stream_gradient<T, 3>(grad, x, partial, threads);
  } else if (size == 5) {
    pieces = stream_gradient<T, 5>(grad, x, partial, threads);
  } else {
    const Geometry g{x.rows, x.columns, dilation * (kh / 2), dilation * (kw / 2), dilation, 1};
    pieces = correlate_gradient(grad, x, kh, kw, g, partial, threads);
  }
  add_partials(partial, pieces, channels, kh * kw, grad_weight_array.data(), grad_bias_array.data(), threads);
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
