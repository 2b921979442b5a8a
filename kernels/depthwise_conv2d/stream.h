// Depthwise convolution with few taps (3 x 3, 5 x 5, dilation 1) in channels-last memory. Memory decides, so that all
// channels of a row are done in the order they lie in, without a copy.
#pragma once

#include "maps.h"

namespace native::depthwise {
namespace {

constexpr int kBlock = 4;  // output rows a task

// Returns the kernel size K if `stream<T, K>` can do this problem, otherwise 0.
template <typename T, typename P>
int stream_size(const Tensor4<const T>& in, const Tensor4<P>& out, int kh, int kw, int dilation) {
  const bool fits = in.sc == 1 && out.sc == 1 && in.channels >= kLanes<T> && dilation == 1 && kh == kw;
  return fits && (kh == 3 || kh == 5) ? kh : 0;
}

// Calls f(width, left, right, first column); left, right: the strip is the first, the last of its row.
template <typename F>
inline void each_edged_strip(int columns, F&& f) {
  each_strip(columns, [&](auto width, int q0) {
    constexpr int Q = decltype(width)::value;
    const bool left = q0 == 0, right = q0 + Q == columns;
    if (left && right) return f(width, std::true_type(), std::true_type(), q0);
    if constexpr (Q >= 4) {
      if (left) return f(width, std::true_type(), std::false_type(), q0);
      if (right) return f(width, std::false_type(), std::true_type(), q0);
      f(width, std::false_type(), std::false_type(), q0);
    }
  });
}

// Output row r, columns q0 .. q0+Q-1, all channels. At the left and right edge K/2 columns of the window are outside.
template <typename T, int Q, int K, bool kLeft, bool kRight>
void stream_strip(Maps<const T> in, const T* kernel, const T* start, Maps<T> out, int q0, int r, int vectors) {
  constexpr int pad = K / 2, u0 = kLeft ? pad : 0, u1 = Q + K - 1 - (kRight ? pad : 0);
  const int i0 = std::max(0, pad - r), i1 = std::min(K, in.rows + pad - r);
  const T* window = in.at(r - pad, q0 - pad);
  const T* ahead = in.at(std::min(r + pad + 1, in.rows - 1), q0);
  const ptrdiff_t sx = in.column_stride, sy = in.row_stride, so = out.column_stride;
  T* to = out.at(r, q0);
  for (int v = 0; v < vectors; ++v, kernel += K * K * kLanes<T>, start += kLanes<T>) {
    Vec<T> sum[Q];
    const Vec<T> first = load(start);
#pragma GCC unroll 16
    for (int q = 0; q < Q; ++q) sum[q] = first;
    const T* corner = window + in.offset(v);
    for (int i = i0; i < i1; ++i) {
      const T* row = corner + i * sy;
      Vec<T> tap[K];
#pragma GCC unroll 8
      for (int j = 0; j < K; ++j) tap[j] = load(kernel + (i * K + j) * kLanes<T>);
#pragma GCC unroll 16
      for (int u = u0; u < u1; ++u) {
        const Vec<T> value = load(row + u * sx);
#pragma GCC unroll 8
        for (int j = 0; j < K; ++j)
          if (u - j >= 0 && u - j < Q) sum[u - j] += tap[j] * value;
      }
    }
#pragma GCC unroll 16
    for (int q = 0; q < Q; ++q) {
      store(to + out.offset(v) + q * so, sum[q]);
      __builtin_prefetch(ahead + in.offset(v) + q * sx, 0, 2);  // the next output row is the first to need this row
    }
  }
}

// Adds what output row r, columns q0 .. q0+Q-1 contribute to the sums [vector][tap, then bias][lane].
template <typename T, int Q, int K, bool kLeft, bool kRight>
void gradient_strip(Maps<const T> grad, Maps<const T> in, T* sums, int q0, int r, int vectors) {
  constexpr int pad = K / 2, u0 = kLeft ? pad : 0, u1 = Q + K - 1 - (kRight ? pad : 0);
  const int i0 = std::max(0, pad - r), i1 = std::min(K, in.rows + pad - r);
  const T* window = in.at(r - pad, q0 - pad);
  const T* from = grad.at(r, q0);
  const ptrdiff_t sx = in.column_stride, sy = in.row_stride, sg = grad.column_stride;
  for (int v = 0; v < vectors; ++v, sums += (K * K + 1) * kLanes<T>) {
    Vec<T> g[Q], total{};
#pragma GCC unroll 16
    for (int q = 0; q < Q; ++q) {
      g[q] = load(from + grad.offset(v) + q * sg);
      total += g[q];
    }
    const T* corner = window + in.offset(v);
    for (int i = i0; i < i1; ++i) {
      const T* row = corner + i * sy;
      T* at = sums + i * K * kLanes<T>;
      Vec<T> sum[K];
#pragma GCC unroll 8
      for (int j = 0; j < K; ++j) sum[j] = load(at + j * kLanes<T>);
#pragma GCC unroll 16
      for (int u = u0; u < u1; ++u) {
        const Vec<T> value = load(row + u * sx);
#pragma GCC unroll 8
        for (int j = 0; j < K; ++j)
          if (u - j >= 0 && u - j < Q) sum[j] += g[u - j] * value;
      }
#pragma GCC unroll 8
      for (int j = 0; j < K; ++j) store(at + j * kLanes<T>, sum[j]);
    }
    T* bias = sums + K * K * kLanes<T>;
    store(bias, load(bias) + total);
  }
}

// Where positions are a multiple of 2 KiB apart, a window falls on one or two sets of a 4 KiB cache way and evicts
// itself: rows y0 .. y1-1 are then copied. Returns maps in which those rows have their own numbers.
template <typename T>
Maps<const T> rows_for_window(Maps<const T> in, int y0, int y1, int vectors, std::vector<T>& buffer) {
  if (in.column_stride * sizeof(T) % 2048 != 0) return in;
  const ptrdiff_t map_stride = static_cast<ptrdiff_t>(in.columns) * kLanes<T>, row_stride = map_stride * vectors;
  buffer.resize((y1 - y0) * row_stride);
  for (int y = y0; y < y1; ++y)
    for (int x = 0; x < in.columns; ++x) {
      const T* from = in.at(y, x);
      T* to = buffer.data() + (y - y0) * row_stride + x * kLanes<T>;
      for (int v = 0; v < vectors; ++v) store(to + v * map_stride, load(from + in.offset(v)));
    }
  return {buffer.data() - y0 * row_stride, y1, in.columns, row_stride, kLanes<T>, map_stride};
}

// Calls f(image, block, first row, last row + 1, the input's rows that these need) in parallel.
template <typename T, int K, typename F>
void each_block(const Tensor4<const T>& x, int vectors, int threads, F&& f) {
  const int blocks = ceil_div(x.rows, kBlock);
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> buffer;
#pragma omp for collapse(2)
    for (int b = 0; b < x.batch; ++b)
      for (int block = 0; block < blocks; ++block) {
        const int r0 = block * kBlock, r1 = std::min(r0 + kBlock, x.rows);
        const int y0 = std::max(0, r0 - K / 2), y1 = std::min(r1 + K / 2, x.rows);
        f(b, block, r0, r1, rows_for_window(image(x, b), y0, y1, vectors, buffer));
      }
  }
}

template <typename T, int K>
void stream(const Tensor4<const T>& x, const Kernels<T>& kernels, const T* start, const Tensor4<T>& out, int threads) {
  const int vectors = ceil_div(x.channels, kLanes<T>);
  each_block<T, K>(x, vectors, threads, [&](int b, int, int r0, int r1, const Maps<const T>& in) {
    for (int r = r0; r < r1; ++r)
      each_edged_strip(x.columns, [&](auto width, auto left, auto right, int q0) {
        stream_strip<T, decltype(width)::value, K, decltype(left)::value, decltype(right)::value>(
            in, kernels.of(b), start, image(out, b), q0, r, vectors);
      });
  });
}

// Fills `partial` with sums [piece][vector][tap, then bias][lane] and returns the number of pieces.
template <typename T, int K>
int stream_gradient(const Tensor4<const T>& grad, const Tensor4<const T>& x, std::vector<T>& partial, int threads) {
  const int vectors = ceil_div(x.channels, kLanes<T>), blocks = ceil_div(x.rows, kBlock);
  const size_t share = static_cast<size_t>(vectors) * (K * K + 1) * kLanes<T>;
  partial.resize(x.batch * blocks * share);
  each_block<T, K>(x, vectors, threads, [&](int b, int block, int r0, int r1, const Maps<const T>& in) {
    T* sums = partial.data() + (static_cast<size_t>(b) * blocks + block) * share;
    for (int r = r0; r < r1; ++r)
      each_edged_strip(x.columns, [&](auto width, auto left, auto right, int q0) {
        gradient_strip<T, decltype(width)::value, K, decltype(left)::value, decltype(right)::value>(
            image(grad, b), in, sums, q0, r, vectors);
      });
  });
  return x.batch * blocks;
}

}  // namespace
}  // namespace native::depthwise
