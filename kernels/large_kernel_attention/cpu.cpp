// The two depthwise convolutions of large kernel attention, one behind the other for each vector of channels, so that
// the map between them stays in the caches.
#include "depthwise_conv2d/correlate.h"

namespace native::depthwise {
namespace {

// A weight (C, 1, k, k) with its bias, packed.
template <typename T>
struct Layer {
  int size, dilation;
  std::vector<T> kernel, start;

  Layer(const Array<const T>& weight, const Array<const T>& bias, int dilation)
      : size(weight.shape(2)), dilation(dilation) {
    Tensor4<const T> shared(weight);
    std::swap(shared.batch, shared.channels);
    std::swap(shared.sb, shared.sc);
    const Channels<T> channels{shared.channels, false};
    kernel = pack_weight(shared, channels, false).data;
    start = pack_bias(bias.data(), channels);
  }

  void operator()(const Maps<const T>& in, int v, const Maps<T>& out) const {
    const int pad = dilation * (size / 2);
    correlate<T>(in, kernel.data() + static_cast<size_t>(v) * size * size * kLanes<T>,
                 load(start.data() + v * kLanes<T>), out, {size, size, pad, pad, 1, dilation});
  }
};

template <typename T>
void spatial(Array<const T> u_array, Array<const T> local_weight, Array<const T> local_bias,
             Array<const T> dilated_weight, Array<const T> dilated_bias, Array<T> out_array, int dilation, int threads) {
  const Tensor4<const T> u(u_array);
  const Tensor4<T> out(out_array);
  const Layer<T> local(local_weight, local_bias, 1), dilated(dilated_weight, dilated_bias, dilation);
  const int vectors = ceil_div(u.channels, kLanes<T>);
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> in_buffer, local_buffer, out_buffer;
#pragma omp for collapse(2)
    for (int b = 0; b < u.batch; ++b)
      for (int line = 0; line < vectors; line += kVectorsPerLine)
        for (int v = line; v < std::min(vectors, line + kVectorsPerLine); ++v) {
          const bool direct = out.sc == 1 && (v + 1) * kLanes<T> <= out.channels;
          const Maps<T> there{out.data + b * out.sb + v * kLanes<T>, out.rows, out.columns, out.sy, out.sx};
          const Maps<T> between = dense_map(local_buffer, u.rows, u.columns);
          const Maps<T> to = direct ? there : dense_map(out_buffer, out.rows, out.columns);
          local(pack(u, b, v, in_buffer), v, between);
          dilated(between, v, to);
          if (!direct) unpack(to, out, b, v);
        }
  }
}

template <typename T>
void bind_type(nb::module_& m) {
  using namespace nb::literals;
  m.def("large_kernel_attention_spatial", &spatial<T>, "u"_a, "local_weight"_a, "local_bias"_a, "dilated_weight"_a,
        "dilated_bias"_a, "out"_a, "dilation"_a, "threads"_a, nb::call_guard<nb::gil_scoped_release>());
}

void bind(nb::module_& m) {
  bind_type<float>(m);
  bind_type<double>(m);
}

}  // namespace
}  // namespace native::depthwise

NATIVE_OPERATOR(native::depthwise::bind);
