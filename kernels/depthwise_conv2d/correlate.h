// Depthwise convolution with many taps. One routine, `correlate`, does all the arithmetic:
//
//   out[r][q] = start + sum over i, j of kernel[i][j] * in[r * out_step + i * tap_step - row_pad][likewise for columns]
//
//   forward      out = output (H x W),          kernel = weight,              in = x
//   grad x       out = grad x (H x W),          kernel = weight, turned 180,  in = gradient of the output
//   grad weight  out = grad weight (kh x kw),   kernel = gradient,            in = x, with the two steps swapped
//
// One vector of channels is done at a time, on copies whose rows lie side by side in the caches.
#pragma once

#include "maps.h"

namespace native::depthwise {
namespace {

struct Geometry {
  int kernel_rows, kernel_columns, row_pad, column_pad, out_step, tap_step;
};

// Adds J taps to Q neighbouring outputs of a row. Every input is loaded once and used for up to J of them.
// `x` is the column that output 0 sees through tap 0; columns outside 0..columns-1 are zero.
template <typename T, int Q, int J, bool kInside>
inline __attribute__((always_inline)) void add_taps(Vec<T> (&sum)[Q], const T* kernel, const T* row,
                                                    ptrdiff_t column_stride, int x, int columns) {
  Vec<T> tap[J];
#pragma GCC unroll 8
  for (int j = 0; j < J; ++j) tap[j] = load(kernel + j * kLanes<T>);
#pragma GCC unroll 16
  for (int u = 0; u < Q + J - 1; ++u) {
    if (!kInside && static_cast<unsigned>(x + u) >= static_cast<unsigned>(columns)) continue;
    const Vec<T> value = load(row + (x + u) * column_stride);
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j)
      if (u - j >= 0 && u - j < Q) sum[u - j] += tap[j] * value;
  }
}

// The same for one tap when outputs are `out_step` columns apart.
template <typename T, int Q, bool kInside>
inline __attribute__((always_inline)) void add_tap(Vec<T> (&sum)[Q], const T* kernel, const T* row,
                                                   ptrdiff_t column_stride, int x, int out_step, int columns) {
  const Vec<T> tap = load(kernel);
#pragma GCC unroll 16
  for (int q = 0; q < Q; ++q, x += out_step)
    if (kInside || static_cast<unsigned>(x) < static_cast<unsigned>(columns))
      sum[q] += tap * load(row + x * column_stride);
}

template <typename T, int Q, bool kInside>
inline __attribute__((always_inline)) void add_row(Vec<T> (&sum)[Q], const T* kernel, const T* row,
                                                   ptrdiff_t column_stride, int x, int columns, const Geometry& g) {
  constexpr int lanes = kLanes<T>;
  int j = 0;
  if (g.out_step == 1 && g.tap_step == 1) {
    for (; j + 4 <= g.kernel_columns; j += 4)
      add_taps<T, Q, 4, kInside>(sum, kernel + j * lanes, row, column_stride, x + j, columns);
    switch (g.kernel_columns - j) {
      case 3: return add_taps<T, Q, 3, kInside>(sum, kernel + j * lanes, row, column_stride, x + j, columns);
      case 2: return add_taps<T, Q, 2, kInside>(sum, kernel + j * lanes, row, column_stride, x + j, columns);
      case 1: return add_taps<T, Q, 1, kInside>(sum, kernel + j * lanes, row, column_stride, x + j, columns);
    }
    return;
  }
  for (; j < g.kernel_columns; ++j)
    add_tap<T, Q, kInside>(sum, kernel + j * lanes, row, column_stride, x + j * g.tap_step, g.out_step, columns);
}

template <typename T, int Q, bool kInside>
void correlate_strip(const Maps<const T>& in, const T* kernel, Vec<T> start, const Maps<T>& out, const Geometry& g,
                     int q0) {
  const int x = q0 * g.out_step - g.column_pad;
  const ptrdiff_t kernel_row = static_cast<ptrdiff_t>(g.kernel_columns) * kLanes<T>;
  for (int r = 0; r < out.rows; ++r) {
    const int y = r * g.out_step - g.row_pad;
    const int i0 = y < 0 ? ceil_div(-y, g.tap_step) : 0;
    const int i1 = std::min(g.kernel_rows, y < in.rows ? ceil_div(in.rows - y, g.tap_step) : 0);
    Vec<T> sum[Q];
#pragma GCC unroll 16
    for (int q = 0; q < Q; ++q) sum[q] = start;
    for (int i = i0; i < i1; ++i)
      add_row<T, Q, kInside>(sum, kernel + i * kernel_row, in.at(y + i * g.tap_step, 0), in.column_stride, x,
                             in.columns, g);
#pragma GCC unroll 16
    for (int q = 0; q < Q; ++q) store(out.at(r, q0 + q), sum[q]);
  }
}

template <typename T>
void correlate(const Maps<const T>& in, const T* kernel, Vec<T> start, const Maps<T>& out, const Geometry& g) {
  each_strip(out.columns, [&](auto width, int q0) {
    constexpr int Q = decltype(width)::value;
    const int left = q0 * g.out_step - g.column_pad;
    const int right = left + (Q - 1) * g.out_step + (g.kernel_columns - 1) * g.tap_step;
    if (left >= 0 && right < in.columns)
      correlate_strip<T, Q, true>(in, kernel, start, out, g, q0);
    else
      correlate_strip<T, Q, false>(in, kernel, start, out, g, q0);
  });
}

// Copies vector v of channels of one image into a dense map; lanes without a channel are zero.
template <typename T>
Maps<T> pack(const Tensor4<const T>& from, int b, int v, std::vector<T>& buffer) {
  const Channels<T> channels{from.channels, false};
  const int count = channels.count(v);
  const Maps<T> to = dense_map(buffer, from.rows, from.columns);
  for (int y = 0; y < from.rows; ++y) {
    const T* row = from.data + b * from.sb + channels.first(v) * from.sc + y * from.sy;
    T* line = to.at(y, 0);
    if (from.sc == 1 && count == kLanes<T>) {
      for (int x = 0; x < from.columns; ++x) store(line + x * kLanes<T>, load(row + x * from.sx));
      continue;
    }
    if (count < kLanes<T>) std::fill_n(line, to.row_stride, T(0));
    for (int l = 0; l < count; ++l)
      for (int x = 0; x < from.columns; ++x) line[x * kLanes<T> + l] = row[l * from.sc + x * from.sx];
  }
  return to;
}

template <typename T>
void unpack(const Maps<T>& from, const Tensor4<T>& to, int b, int v) {
  const Channels<T> channels{to.channels, false};
  T* data = to.data + b * to.sb + channels.first(v) * to.sc;
  for (int y = 0; y < to.rows; ++y)
    for (int l = 0; l < channels.count(v); ++l)
      for (int x = 0; x < to.columns; ++x) data[l * to.sc + y * to.sy + x * to.sx] = from.at(y, x)[l];
}

// Vectors that share a 64-byte cache line belong to one task, so that no line goes to two threads.
constexpr int kVectorsPerLine = 64 / simd::kBytes;

template <typename T>
void correlate_images(const Tensor4<const T>& x, const Kernels<T>& kernels, const T* start, const Tensor4<T>& out,
                      const Geometry& g, int threads) {
  const int vectors = ceil_div(x.channels, kLanes<T>);
  const ptrdiff_t kernel_size = static_cast<ptrdiff_t>(g.kernel_rows) * g.kernel_columns * kLanes<T>;
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> in_buffer, out_buffer;
#pragma omp for collapse(2)
    for (int b = 0; b < x.batch; ++b)
      for (int line = 0; line < vectors; line += kVectorsPerLine)
        for (int v = line; v < std::min(vectors, line + kVectorsPerLine); ++v) {
          const bool direct = out.sc == 1 && (v + 1) * kLanes<T> <= out.channels;
          const Maps<T> there{out.data + b * out.sb + v * kLanes<T>, out.rows, out.columns, out.sy, out.sx};
          const Maps<T> to = direct ? there : dense_map(out_buffer, out.rows, out.columns);
          correlate<T>(pack(x, b, v, in_buffer), kernels.of(b) + v * kernel_size, load(start + v * kLanes<T>), to, g);
          if (!direct) unpack(to, out, b, v);
        }
  }
}

// Fills `partial` with sums [image][vector][tap, then bias][lane] and returns the number of images.
template <typename T>
int correlate_gradient(const Tensor4<const T>& grad, const Tensor4<const T>& x, int kh, int kw, const Geometry& g,
                       std::vector<T>& partial, int threads) {
  const int vectors = ceil_div(x.channels, kLanes<T>), taps = kh * kw;
  const size_t share = static_cast<size_t>(taps + 1) * kLanes<T>;
  partial.resize(x.batch * vectors * share);
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> x_buffer, grad_buffer;
#pragma omp for collapse(2)
    for (int b = 0; b < x.batch; ++b)
      for (int line = 0; line < vectors; line += kVectorsPerLine)
        for (int v = line; v < std::min(vectors, line + kVectorsPerLine); ++v) {
          T* sums = partial.data() + (static_cast<size_t>(b) * vectors + v) * share;
          const Maps<T> out{sums, kh, kw, static_cast<ptrdiff_t>(kw) * kLanes<T>, kLanes<T>};
          const Maps<T> kernel = pack(grad, b, v, grad_buffer);
          correlate<T>(pack(x, b, v, x_buffer), kernel.data, Vec<T>{}, out, g);
          Vec<T> total{};
          for (int p = 0; p < x.rows * x.columns; ++p) total += load(kernel.data + p * kLanes<T>);
          store(sums + taps * kLanes<T>, total);
        }
  }
  return x.batch;
}

}  // namespace
}  // namespace native::depthwise
