// Depthwise convolution and the gradient of its weight, by whichever routine suits: `correlate.h` does many taps
// (arithmetic decides), `stream.h` few taps in channels-last memory (memory decides).
//
// A vector holds one position of neighbouring channels, so that no sum ever crosses lanes. A weight is (B, C, kh, kw), or
// (1, C, kh, kw) where all images share it.
#pragma once

#include "correlate.h"
#include "stream.h"

namespace native::depthwise {
namespace {

template <typename T>
void convolve(const Tensor4<const T>& x, const Tensor4<const T>& weight, bool turned, const T* bias,
              const Tensor4<T>& out, int dilation, int threads) {
  const int size = stream_size(x, out, weight.rows, weight.columns, dilation);
  const Channels<T> channels{x.channels, size > 0};
  const Kernels<T> kernels = pack_weight(weight, channels, turned);
  const std::vector<T> start = pack_bias(bias, channels);
  if (size == 3) return stream<T, 3>(x, kernels, start.data(), out, threads);
  if (size == 5) return stream<T, 5>(x, kernels, start.data(), out, threads);
  const Geometry g{weight.rows, weight.columns, dilation * (weight.rows / 2), dilation * (weight.columns / 2),
                   1,           dilation};
  correlate_images(x, kernels, start.data(), out, g, threads);
}

// Adds up partial sums [weight][piece][vector][tap, then bias][lane] in the order of the pieces of each weight.
template <typename T>
void add_partials(const std::vector<T>& partial, int weights, int pieces, const Channels<T>& channels, int taps,
                  T* grad_weight, T* grad_bias, int threads) {
  const size_t share = static_cast<size_t>(taps + 1) * kLanes<T>, piece = share * channels.vectors();
#pragma omp parallel for collapse(2) num_threads(threads)
  for (int w = 0; w < weights; ++w)
    for (int v = 0; v < channels.vectors(); ++v)
      for (int t = 0; t <= taps; ++t) {
        const T* from = partial.data() + w * pieces * piece + v * share + t * kLanes<T>;
        Vec<T> sum{};
        for (int p = 0; p < pieces; ++p) sum += load(from + p * piece);
        for (int l = v * kLanes<T> - channels.first(v); l < channels.count(v); ++l) {
          const size_t c = static_cast<size_t>(w) * channels.channels + channels.first(v) + l;
          if (t < taps)
            grad_weight[c * taps + t] = sum[l];
          else if (grad_bias)
            grad_bias[c] = sum[l];
        }
      }
}

// Writes the gradients of `weights` weights, one for all images or one for each: (weights, C, kh, kw), and unless null
// of the bias (weights, C), both contiguous.
template <typename T>
void weight_gradient(const Tensor4<const T>& grad, const Tensor4<const T>& x, int weights, int kh, int kw, int dilation,
                     T* grad_weight, T* grad_bias, int threads) {
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
  if (weights > 0)
    add_partials(partial, weights, pieces / weights, channels, kh * kw, grad_weight, grad_bias, threads);
}

}  // namespace
}  // namespace native::depthwise
