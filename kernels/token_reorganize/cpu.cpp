// Token reorganisation, forward and backward. A task is a block of channels of one image: copies and sums of whole rows.
// What a token becomes is a table of rows: the row of the output that it goes to, or 0 (the class token's) if dropped.
#include "native.h"
#include "parallel.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace {

using native::Array;

constexpr int kChannels = 128;  // of a task; a row of them is a few cache lines

// The channels [first, last) of an image.
struct Part {
  int image, first, last;

  Part(int task, int parts, int channels)
      : image(task / parts), first(task % parts * kChannels), last(std::min(first + kChannels, channels)) {}
};

inline int parts_of(int channels) { return (channels + kChannels - 1) / kChannels; }

// Row `row` of one image of a (B, N, C) tensor.
template <typename T>
struct Row {
  T* data;
  std::ptrdiff_t step;

  Row(const Array<T>& tensor, int image, std::int64_t row)
      : data(tensor.data() + image * tensor.stride(0) + row * tensor.stride(1)), step(tensor.stride(2)) {}
  T& operator[](int channel) const { return data[channel * step]; }
};

// to = from, to += factor * from; unit steps are told apart so that they vectorise.
template <typename T>
void copy(const Row<T>& from, const Row<T>& to, int first, int last, T factor = T(1)) {
  if (from.step == 1 && to.step == 1) {
    for (int c = first; c < last; ++c) to.data[c] = factor * from.data[c];
  } else {
    for (int c = first; c < last; ++c) to[c] = factor * from[c];
  }
}

template <typename T>
void add(const Row<T>& from, T* to, int first, int last, T factor) {
  if (from.step == 1) {
    for (int c = first; c < last; ++c) to[c - first] += factor * from.data[c];
  } else {
    for (int c = first; c < last; ++c) to[c - first] += factor * from[c];
  }
}

template <typename T>
T dot(const Row<T>& a, const Row<T>& b, int channels) {
  constexpr int lanes = 16;
  T sums[lanes] = {};
  int c = 0;
  if (a.step == 1 && b.step == 1) {
    for (; c + lanes <= channels; c += lanes) {
      for (int lane = 0; lane < lanes; ++lane) sums[lane] += a.data[c + lane] * b.data[c + lane];
    }
  }
  for (; c < channels; ++c) sums[c % lanes] += a[c] * b[c];
  return std::accumulate(sums, sums + lanes, T(0));
}

// Writes an image's table of rows: the `keep` highest scores go to the rows 1, 2, ...; of equal ones the earlier first.
template <typename T>
void rank(const Array<T>& scores, int image, int keep, const Array<std::int64_t>& rows) {
  const int count = scores.shape(1);
  std::vector<T> score(count);
  for (int n = 0; n < count; ++n) {
    const T s = scores.data()[image * scores.stride(0) + n * scores.stride(1)];
    score[n] = std::isnan(s) ? std::numeric_limits<T>::infinity() : s;  // an order needs numbers
  }
  std::vector<int> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + keep, order.end(),
                    [&](int a, int b) { return score[a] > score[b] || (score[a] == score[b] && a < b); });
  std::int64_t* const table = rows.data() + image * rows.stride(0);
  for (int n = 0; n < count; ++n) table[order[n] * rows.stride(1)] = n < keep ? n + 1 : 0;
}

template <typename T>
void forward(const Array<T>& tokens, const Array<T>& scores, const Array<T>& out, const Array<std::int64_t>& rows,
             int keep, bool fuse, int threads) {
  const int batch = tokens.shape(0), count = scores.shape(1), channels = tokens.shape(2), parts = parts_of(channels);
  parallel::run(batch, threads, [&](int image, int) { rank(scores, image, keep, rows); });
  parallel::run(batch * parts, threads, [&](int task, int) {
    const Part part(task, parts, channels);
    T fused[kChannels] = {};
    copy(Row<T>(tokens, part.image, 0), Row<T>(out, part.image, 0), part.first, part.last);
    for (int n = 0; n < count; ++n) {
      const Row<T> token(tokens, part.image, n + 1);
      const std::int64_t row = rows.data()[part.image * rows.stride(0) + n * rows.stride(1)];
      if (row > 0) {
        copy(token, Row<T>(out, part.image, row), part.first, part.last);
      } else if (fuse) {
        add(token, fused, part.first, part.last, scores.data()[part.image * scores.stride(0) + n * scores.stride(1)]);
      }
    }
    const Row<T> last(out, part.image, keep + 1);
    if (fuse) {
      for (int c = part.first; c < part.last; ++c) last[c] = fused[c - part.first];
    }
  });
}

template <typename T>
void backward(const Array<T>& grad, const Array<T>& tokens, const Array<T>& scores, const Array<std::int64_t>& rows,
              const Array<T>& grad_tokens, const Array<T>& grad_scores, bool fuse, int threads) {
  const int batch = tokens.shape(0), count = scores.shape(1), channels = tokens.shape(2);
  const int last = static_cast<int>(grad.shape(1)) - 1;
  parallel::run(batch, threads, [&](int image, int) {
    const Row<T> fused(grad, image, last);
    copy(Row<T>(grad, image, 0), Row<T>(grad_tokens, image, 0), 0, channels);
    for (int n = 0; n < count; ++n) {
      const std::int64_t row = rows.data()[image * rows.stride(0) + n * rows.stride(1)];
      const Row<T> to(grad_tokens, image, n + 1);
      T slope = 0;
      if (row > 0) {
        copy(Row<T>(grad, image, row), to, 0, channels);
      } else if (fuse) {
        copy(fused, to, 0, channels, scores.data()[image * scores.stride(0) + n * scores.stride(1)]);
        slope = dot(fused, Row<T>(tokens, image, n + 1), channels);
      } else {
        for (int c = 0; c < channels; ++c) to[c] = T(0);
      }
      grad_scores.data()[image * grad_scores.stride(0) + n * grad_scores.stride(1)] = slope;
    }
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("token_reorganize_forward", &forward<T>, "tokens"_a.noconvert(), "scores"_a.noconvert(), "out"_a.noconvert(),
        "rows"_a.noconvert(), "keep"_a, "fuse"_a, "threads"_a, release);
  m.def("token_reorganize_backward", &backward<T>, "grad"_a.noconvert(), "tokens"_a.noconvert(),
        "scores"_a.noconvert(), "rows"_a.noconvert(), "grad_tokens"_a.noconvert(), "grad_scores"_a.noconvert(),
        "fuse"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
