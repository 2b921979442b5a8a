// Segment mean. Its gradient is the same mean of the output's gradient. A task is a block of channels of one batch: their
// sums lie side by side for each segment, so that a segment's number is read once for all of them.
#include "native.h"
#include "parallel.h"

#include <algorithm>
#include <vector>

namespace {

using native::Array;

constexpr int kChannels = 8;  // of a task

// Numbers are from 0 to count - 1, which the caller has checked.
template <typename T, typename Number>
void mean(const Array<T>& x, const Array<Number>& segments, const Array<T>& out, int count, int threads) {
  const int batch = x.shape(0), channels = x.shape(1), positions = x.shape(2);
  const int parts = (channels + kChannels - 1) / kChannels;
  std::vector<double> sizes(static_cast<std::size_t>(batch) * count, 0);
  parallel::run(batch, threads, [&](int b, int) {
    const Number* const number = segments.data() + b * segments.stride(0);
    double* const size = sizes.data() + static_cast<std::size_t>(b) * count;
    for (int n = 0; n < positions; ++n) size[number[n * segments.stride(1)]] += 1;
  });
  parallel::run(batch * parts, threads, [&](int task, int) {
    const int b = task / parts, first = task % parts * kChannels, own = std::min(kChannels, channels - first);
    const Number* const number = segments.data() + b * segments.stride(0);
    const T* const from = x.data() + b * x.stride(0) + first * x.stride(1);
    T* const to = out.data() + b * out.stride(0) + first * out.stride(1);
    const std::ptrdiff_t sn = segments.stride(1), xc = x.stride(1), xn = x.stride(2), oc = out.stride(1);
    std::vector<double> sums(static_cast<std::size_t>(count) * kChannels, 0);
    for (int n = 0; n < positions; ++n) {
      double* const sum = sums.data() + static_cast<std::size_t>(number[n * sn]) * kChannels;
      const T* const value = from + n * xn;
      if (own == kChannels) {
        for (int c = 0; c < kChannels; ++c) sum[c] += value[c * xc];
      } else {
        for (int c = 0; c < own; ++c) sum[c] += value[c * xc];
      }
    }
    // The sums become means in T, a row of segments for each channel.
    const double* const size = sizes.data() + static_cast<std::size_t>(b) * count;
    std::vector<T> means(static_cast<std::size_t>(count) * kChannels);
    for (int s = 0; s < count; ++s) {
      const double* const sum = sums.data() + static_cast<std::size_t>(s) * kChannels;
      for (int c = 0; c < own; ++c) {
        means[static_cast<std::size_t>(c) * count + s] = size[s] > 0 ? static_cast<T>(sum[c] / size[s]) : T(0);
      }
    }
    for (int c = 0; c < own; ++c) {
      const T* const row = means.data() + static_cast<std::size_t>(c) * count;
      for (int n = 0; n < positions; ++n) to[c * oc + n] = row[number[n * sn]];
    }
  });
}

template <typename T, typename Number>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  m.def("segment_mean", &mean<T, Number>, "x"_a.noconvert(), "segments"_a.noconvert(), "out"_a.noconvert(), "count"_a,
        "threads"_a, nb::call_guard<nb::gil_scoped_release>());
}

void bind(nb::module_& m) {
  bind_dtype<float, std::int64_t>(m);
  bind_dtype<double, std::int64_t>(m);
  bind_dtype<float, std::int32_t>(m);
  bind_dtype<double, std::int32_t>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
