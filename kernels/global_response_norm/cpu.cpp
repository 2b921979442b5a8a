// Global response normalisation on the CPU: one pass for the sums of every channel, one to apply the scale.
//
// Images are done in groups of as many as there are threads, both passes before the next group, so that the second pass
// finds the image in the cache. Sums are cut into blocks that do not depend on the number of threads.
#include <algorithm>
#include <cmath>
#include <vector>

#include "native.h"
#include "simd.h"

namespace native::response {
namespace {

using simd::kLanes;
using simd::load;
using simd::Vec;

template <typename P>
struct Tensor4 {
  P* data;
  int batch, channels, rows, columns;
  ptrdiff_t sb, sc, sy, sx;

  template <typename A>
  explicit Tensor4(const A& a)
      : data(a.data()), batch(a.shape(0)), channels(a.shape(1)), rows(a.shape(2)), columns(a.shape(3)),
        sb(a.stride(0)), sc(a.stride(1)), sy(a.stride(2)), sx(a.stride(3)) {}

  // Whether a map can be walked as one long row.
  bool flat() const { return sy == columns * sx; }
  Tensor4 flattened() const {
    Tensor4 t = *this;
    t.columns *= t.rows;
    t.rows = 1;
    return t;
  }
  bool channels_last() const { return sc == 1; }
  P* at(int b, int c, int y) const { return data + b * sb + c * sc + y * sy; }
};

// Adds, for every channel: sum of x*x, and where a gradient g is given also sum of g*x and sum of g.
template <typename T>
struct Sums {
  T *square, *product, *gradient;
};

template <typename T, bool kGradient>
void add_positions(const T* __restrict x, const T* __restrict g, ptrdiff_t sx, ptrdiff_t sg, int positions, int channels,
                   Sums<T> to) {
  T *__restrict square = to.square, *__restrict product = to.product, *__restrict gradient = to.gradient;
  for (int p = 0; p < positions; ++p, x += sx, g += kGradient ? sg : 0) {
#pragma omp simd
    for (int c = 0; c < channels; ++c) {
      square[c] += x[c] * x[c];
      if (kGradient) {
        product[c] += g[c] * x[c];
        gradient[c] += g[c];
      }
    }
  }
}

// The sums of one channel. Vectors by hand: GCC 12 leaves a reduction of x*x scalar inside a parallel region.
template <typename T, bool kGradient>
void add_plane(const Tensor4<const T>& x, const Tensor4<const T>& g, int b, int c, Sums<T> to) {
  Vec<T> square{}, product{}, gradient{};
  T square_rest = 0, product_rest = 0, gradient_rest = 0;
  const bool unit = x.sx == 1 && g.sx == 1;
  for (int y = 0; y < x.rows; ++y) {
    const T *xs = x.at(b, c, y), *gs = g.at(b, c, y);
    int i = 0;
    for (; unit && i + kLanes<T> <= x.columns; i += kLanes<T>) {
      const Vec<T> value = load(xs + i), grad = load(gs + i);
      square += value * value;
      product += value * grad;
      gradient += grad;
    }
    for (; i < x.columns; ++i) {
      const T value = xs[i * x.sx], grad = gs[i * g.sx];
      square_rest += value * value;
      product_rest += value * grad;
      gradient_rest += grad;
    }
  }
  to.square[c] = simd::sum<T>(square) + square_rest;
  if (kGradient) {
    to.product[c] = simd::sum<T>(product) + product_rest;
    to.gradient[c] = simd::sum<T>(gradient) + gradient_rest;
  }
}

// out = a[c] * x + b[c] * y (+ constant[c]), the second pass of both directions.
template <typename T, bool kTwo>
void apply_positions(const T* __restrict x, const T* __restrict y, T* __restrict out, ptrdiff_t sx, ptrdiff_t sy, ptrdiff_t so,
                     int positions, int channels, const T* __restrict scale, const T* __restrict other) {
  for (int p = 0; p < positions; ++p, x += sx, y += kTwo ? sy : 0, out += so) {
#pragma omp simd
    for (int c = 0; c < channels; ++c) out[c] = scale[c] * x[c] + (kTwo ? other[c] * y[c] : other[c]);
  }
}

template <typename T, bool kTwo, bool kUnit>
void apply_plane(const Tensor4<const T>& x, const Tensor4<const T>& y, const Tensor4<T>& out, int b, int c, T scale, T other) {
  const ptrdiff_t sx = kUnit ? 1 : x.sx, sy = kUnit ? 1 : y.sx, so = kUnit ? 1 : out.sx;
  for (int r = 0; r < x.rows; ++r) {
    const T *__restrict xs = x.at(b, c, r), *__restrict ys = y.at(b, c, r);
    T* __restrict to = out.at(b, c, r);
#pragma omp simd
    for (int i = 0; i < x.columns; ++i)
      to[i * so] = scale * xs[i * sx] + (kTwo ? other * ys[i * sy] : other);
  }
}

// First pass over images b0..b1-1: totals [image][square, product, gradient][channel].
template <typename T, bool kGradient>
void sum_images(const Tensor4<const T>& x, const Tensor4<const T>& g, int b0, int b1, std::vector<T>& totals, int threads) {
  const int n = x.channels, kinds = kGradient ? 3 : 1;
  const bool last = x.channels_last() && g.channels_last();
  if (!last) {
    if (x.rows > 1 && x.flat() && g.flat())
      return sum_images<T, kGradient>(x.flattened(), g.flattened(), b0, b1, totals, threads);
#pragma omp parallel for collapse(2) num_threads(threads)
    for (int b = b0; b < b1; ++b)
      for (int c = 0; c < n; ++c) {
        T* t = totals.data() + static_cast<size_t>(b - b0) * kinds * n;
        add_plane<T, kGradient>(x, g, b, c, {t, t + n, t + 2 * n});
      }
    return;
  }
  const int rows = std::max(1, 128 / std::max(1, x.columns)), blocks = (x.rows + rows - 1) / rows;
  std::vector<T> partial(static_cast<size_t>(b1 - b0) * blocks * kinds * n);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for collapse(2)
    for (int b = b0; b < b1; ++b)
      for (int block = 0; block < blocks; ++block) {
        T* t = partial.data() + (static_cast<size_t>(b - b0) * blocks + block) * kinds * n;
        for (int y = block * rows; y < std::min(x.rows, (block + 1) * rows); ++y)
          add_positions<T, kGradient>(x.at(b, 0, y), g.at(b, 0, y), x.sx, g.sx, x.columns, n, {t, t + n, t + 2 * n});
      }
#pragma omp for
    for (int b = b0; b < b1; ++b) {
      T* __restrict t = totals.data() + static_cast<size_t>(b - b0) * kinds * n;
      std::fill_n(t, kinds * n, T(0));
      for (int block = 0; block < blocks; ++block) {
        const T* __restrict p = partial.data() + (static_cast<size_t>(b - b0) * blocks + block) * kinds * n;
        for (int c = 0; c < kinds * n; ++c) t[c] += p[c];
      }
    }
  }
}

template <typename T, bool kTwo>
void apply_images(const Tensor4<const T>& x, const Tensor4<const T>& y, const Tensor4<T>& out, int b0, int b1,
                  const std::vector<T>& scale, const std::vector<T>& other, int threads) {
  const int n = x.channels;
  if (x.channels_last() && y.channels_last() && out.channels_last()) {
#pragma omp parallel for collapse(2) num_threads(threads)
    for (int b = b0; b < b1; ++b)
      for (int r = 0; r < x.rows; ++r)
        apply_positions<T, kTwo>(x.at(b, 0, r), y.at(b, 0, r), out.at(b, 0, r), x.sx, y.sx, out.sx, x.columns, n,
                                 scale.data() + (b - b0) * n, other.data() + (b - b0) * n);
    return;
  }
  if (x.rows > 1 && x.flat() && y.flat() && out.flat())
    return apply_images<T, kTwo>(x.flattened(), y.flattened(), out.flattened(), b0, b1, scale, other, threads);
#pragma omp parallel for collapse(2) num_threads(threads)
  for (int b = b0; b < b1; ++b)
    for (int c = 0; c < n; ++c) {
      const size_t i = static_cast<size_t>(b - b0) * n + c;
      if (x.sx == 1 && y.sx == 1 && out.sx == 1)
        apply_plane<T, kTwo, true>(x, y, out, b, c, scale[i], other[i]);
      else
        apply_plane<T, kTwo, false>(x, y, out, b, c, scale[i], other[i]);
    }
}

template <typename T>
void forward(Array<const T> x_array, Array<const T> gamma, Array<const T> beta, Array<T> out_array, double eps,
             int threads) {
  const Tensor4<const T> x(x_array);
  const Tensor4<T> out(out_array);
  const int n = x.channels;
  std::vector<T> totals(threads * n), scale(threads * n), shift(threads * n);
  for (int b0 = 0; b0 < x.batch; b0 += threads) {
    const int b1 = std::min(x.batch, b0 + threads);
    sum_images<T, false>(x, x, b0, b1, totals, threads);
    for (int b = 0; b < b1 - b0; ++b) {
      double mean = 0;
      for (int c = 0; c < n; ++c) mean += std::sqrt(totals[b * n + c]);
      const T inverse = T(1 / (mean / n + eps));
      for (int c = 0; c < n; ++c) {
        scale[b * n + c] = gamma.data()[c] * std::sqrt(totals[b * n + c]) * inverse + 1;
        shift[b * n + c] = beta.data()[c];
      }
    }
    apply_images<T, false>(x, x, out, b0, b1, scale, shift, threads);
  }
}

// With s the norms, m their mean, n = s / (m + eps) and a[c] = gamma[c] * sum of g*x:
//   grad s[c] = a[c] / (m + eps) - (sum over k of a[k] n[k]) / (C (m + eps)),    grad x = (gamma n + 1) g + grad s / s x
template <typename T>
void backward(Array<const T> g_array, Array<const T> x_array, Array<const T> gamma, Array<T> grad_x_array,
              Array<T> grad_gamma, Array<T> grad_beta, double eps, int threads) {
  const Tensor4<const T> g(g_array), x(x_array);
  const Tensor4<T> grad_x(grad_x_array);
  const int n = x.channels;
  std::vector<T> totals(threads * 3 * n), scale(threads * n), other(threads * n);
  std::fill_n(grad_gamma.data(), n, T(0));
  std::fill_n(grad_beta.data(), n, T(0));
  for (int b0 = 0; b0 < x.batch; b0 += threads) {
    const int b1 = std::min(x.batch, b0 + threads);
    sum_images<T, true>(x, g, b0, b1, totals, threads);
    for (int b = 0; b < b1 - b0; ++b) {
      const T *square = &totals[b * 3 * n], *product = square + n, *gradient = product + n;
      double mean = 0, drop = 0;
      for (int c = 0; c < n; ++c) mean += std::sqrt(square[c]);
      const T inverse = T(1 / (mean / n + eps));
      for (int c = 0; c < n; ++c) drop += gamma.data()[c] * product[c] * std::sqrt(square[c]) * inverse;
      for (int c = 0; c < n; ++c) {
        const T norm = std::sqrt(square[c]), relative = norm * inverse;
        grad_gamma.data()[c] += relative * product[c];
        grad_beta.data()[c] += gradient[c];
        scale[b * n + c] = gamma.data()[c] * relative + 1;
        other[b * n + c] = norm > 0 ? (gamma.data()[c] * product[c] - T(drop / n)) * inverse / norm : T(0);
      }
    }
    apply_images<T, true>(g, x, grad_x, b0, b1, scale, other, threads);
  }
}

template <typename T>
void bind_type(nb::module_& m) {
  using namespace nb::literals;
  using Release = nb::call_guard<nb::gil_scoped_release>;
  m.def("global_response_norm_forward", &forward<T>, "x"_a, "gamma"_a, "beta"_a, "out"_a, "eps"_a, "threads"_a,
        Release());
  m.def("global_response_norm_backward", &backward<T>, "grad"_a, "x"_a, "gamma"_a, "grad_x"_a, "grad_gamma"_a,
        "grad_beta"_a, "eps"_a, "threads"_a, Release());
}

void bind(nb::module_& m) {
  bind_type<float>(m);
  bind_type<double>(m);
}

}  // namespace
}  // namespace native::response

NATIVE_OPERATOR(native::response::bind);
