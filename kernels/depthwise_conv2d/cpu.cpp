// Depthwise convolution, vectorised over channels: a vector holds one position of `lanes` neighbouring channels.
//
// One routine, `correlate`, does all the arithmetic: out[r][q] = start + sum over i, j of kernel[i][j] * in[y][x] with
// y = r * out_step + i * tap_step - pad, and x likewise. It runs three times in training:
//   forward      out = output (H x W),          kernel = weight,              in = x
//   grad x       out = grad x (H x W),          kernel = weight, turned 180,  in = gradient of the output
//   grad weight  out = grad weight (kh x kw),   kernel = gradient,            in = x, with the two steps swapped
#include <algorithm>
#include <cstring>
#include <optional>

#include "native.h"

namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
constexpr int kLineBytes = 64;  // one cache line of channels is one task, so that no line is read by two threads

template <typename T>
constexpr int kLanes = kVectorBytes / sizeof(T);

template <typename T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
};
template <typename T>
using Vector = typename VectorOf<T>::type;

template <typename T>
Vector<T> load(const T* from) {
  return *reinterpret_cast<const Vector<T>*>(from);
}

template <typename T>
void store(T* to, Vector<T> value) {
  *reinterpret_cast<Vector<T>*>(to) = value;
}

// A stack of maps, one for each vector of channels: element [map][row][column] is a vector of contiguous channels.
template <typename P>
struct Maps {
  P* data;
  int rows, columns;
  ptrdiff_t map_stride, row_stride, column_stride;

  P* at(ptrdiff_t row, ptrdiff_t column) const { return data + row * row_stride + column * column_stride; }
};

struct Geometry {
  int kernel_rows, kernel_columns, row_pad, column_pad, out_step, tap_step;
};

// Adds J taps to Q neighbouring outputs of a row. Every input is loaded once and used for up to J of them.
// `x` is the column that output 0 sees through tap 0; columns outside 0..columns-1 are zero.
template <typename T, int Q, int J, bool kInside>
inline __attribute__((always_inline)) void add_taps(Vector<T> (&sum)[Q], const T* kernel, const T* row,
                                                    ptrdiff_t column_stride, int x, int columns) {
  Vector<T> tap[J];
#pragma GCC unroll 8
  for (int j = 0; j < J; ++j) tap[j] = load(kernel + j * kLanes<T>);
#pragma GCC unroll 16
  for (int u = 0; u < Q + J - 1; ++u) {
    if (!kInside && static_cast<unsigned>(x + u) >= static_cast<unsigned>(columns)) continue;
    const Vector<T> value = load(row + (x + u) * column_stride);
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j)
      if (u - j >= 0 && u - j < Q) sum[u - j] += tap[j] * value;
  }
}

// The same for one tap when outputs are `out_step` columns apart.
template <typename T, int Q, bool kInside>
inline __attribute__((always_inline)) void add_tap(Vector<T> (&sum)[Q], const T* kernel, const T* row,
                                                   ptrdiff_t column_stride, int x, int out_step, int columns) {
  const Vector<T> tap = load(kernel);
#pragma GCC unroll 16
  for (int q = 0; q < Q; ++q, x += out_step)
    if (kInside || static_cast<unsigned>(x) < static_cast<unsigned>(columns))
      sum[q] += tap * load(row + x * column_stride);
}

template <typename T, int Q, bool kInside>
inline __attribute__((always_inline)) void add_row(Vector<T> (&sum)[Q], const T* kernel, const T* row,
                                                   ptrdiff_t column_stride, int x, int columns, const Geometry& g) {
  int j = 0;
  if (g.out_step == 1 && g.tap_step == 1) {
    for (; j + 4 <= g.kernel_columns; j += 4)
      add_taps<T, Q, 4, kInside>(sum, kernel + j * kLanes<T>, row, column_stride, x + j, columns);
    switch (g.kernel_columns - j) {
      case 3: return add_taps<T, Q, 3, kInside>(sum, kernel + j * kLanes<T>, row, column_stride, x + j, columns);
      case 2: return add_taps<T, Q, 2, kInside>(sum, kernel + j * kLanes<T>, row, column_stride, x + j, columns);
      case 1: return add_taps<T, Q, 1, kInside>(sum, kernel + j * kLanes<T>, row, column_stride, x + j, columns);
    }
    return;
  }
  for (; j < g.kernel_columns; ++j)
    add_tap<T, Q, kInside>(sum, kernel + j * kLanes<T>, row, column_stride, x + j * g.tap_step, g.out_step, columns);
}

int ceil_div(int a, int b) { return (a + b - 1) / b; }

// Outputs q0 .. q0+Q-1 of rows first..last-1, for `maps` maps in turn. `start` holds a vector for each map, or is null.
template <typename T, int Q, bool kInside>
void correlate_strip(const Maps<const T>& in, const T* kernel, const T* start, const Maps<T>& out, const Geometry& g,
                     int q0, int first, int last, int maps) {
  const int x = q0 * g.out_step - g.column_pad;
  const ptrdiff_t kernel_row = static_cast<ptrdiff_t>(g.kernel_columns) * kLanes<T>;
  for (int r = first; r < last; ++r) {
    const int y = r * g.out_step - g.row_pad;
    const int i0 = y < 0 ? ceil_div(-y, g.tap_step) : 0;
    const int i1 = std::min(g.kernel_rows, y < in.rows ? ceil_div(in.rows - y, g.tap_step) : 0);
    for (int m = 0; m < maps; ++m) {
      Vector<T> sum[Q];
      const Vector<T> from = start ? load(start + m * kLanes<T>) : Vector<T>{};
#pragma GCC unroll 16
      for (int q = 0; q < Q; ++q) sum[q] = from;
      const T* taps = kernel + m * g.kernel_rows * kernel_row;
      for (int i = i0; i < i1; ++i)
        add_row<T, Q, kInside>(sum, taps + i * kernel_row, in.at(y + i * g.tap_step, 0) + m * in.map_stride,
                               in.column_stride, x, in.columns, g);
      T* to = out.at(r, q0) + m * out.map_stride;
#pragma GCC unroll 16
      for (int q = 0; q < Q; ++q) store(to + q * out.column_stride, sum[q]);
    }
  }
}

template <typename T, int Q>
void correlate_columns(const Maps<const T>& in, const T* kernel, const T* start, const Maps<T>& out, const Geometry& g,
                       int q0, int first, int last, int maps) {
  const int left = q0 * g.out_step - g.column_pad;
  const int right = left + (Q - 1) * g.out_step + (g.kernel_columns - 1) * g.tap_step;
  if (left >= 0 && right < in.columns)
    correlate_strip<T, Q, true>(in, kernel, start, out, g, q0, first, last, maps);
  else
    correlate_strip<T, Q, false>(in, kernel, start, out, g, q0, first, last, maps);
}

// Output rows first..last-1, cut into strips of at most 8 columns whose sums stay in registers.
template <typename T>
void correlate(const Maps<const T>& in, const T* kernel, const T* start, const Maps<T>& out, const Geometry& g,
               int first, int last, int maps) {
  const int strips = ceil_div(out.columns, 8);
  for (int s = 0; s < strips; ++s) {
    const int q0 = out.columns * s / strips;
    switch (out.columns * (s + 1) / strips - q0) {
      case 1: correlate_columns<T, 1>(in, kernel, start, out, g, q0, first, last, maps); break;
      case 2: correlate_columns<T, 2>(in, kernel, start, out, g, q0, first, last, maps); break;
      case 3: correlate_columns<T, 3>(in, kernel, start, out, g, q0, first, last, maps); break;
      case 4: correlate_columns<T, 4>(in, kernel, start, out, g, q0, first, last, maps); break;
      case 5: correlate_columns<T, 5>(in, kernel, start, out, g, q0, first, last, maps); break;
      case 6: correlate_columns<T, 6>(in, kernel, start, out, g, q0, first, last, maps); break;
      case 7: correlate_columns<T, 7>(in, kernel, start, out, g, q0, first, last, maps); break;
      case 8: correlate_columns<T, 8>(in, kernel, start, out, g, q0, first, last, maps); break;
    }
  }
}

// One output row of a K x K kernel (dilation 1) for Q neighbouring columns and all channels, straight from channels-last
// memory. kLeft, kRight: the strip is the first, the last of the row, where K/2 columns of its window are outside.
template <typename T, int Q, int K, bool kLeft, bool kRight>
void stream_strip(const Maps<const T>& in, const T* kernel, const T* start, const Maps<T>& out, int q0, int r, int maps) {
  constexpr int pad = K / 2, lanes = kLanes<T>;
  constexpr int u0 = kLeft ? pad : 0, u1 = Q + K - 1 - (kRight ? pad : 0);
  const int i0 = std::max(0, pad - r), i1 = std::min(K, in.rows + pad - r);
  const T* from = in.at(r - pad, q0 - pad);
  T* to = out.at(r, q0);
  const ptrdiff_t sx = in.column_stride, sy = in.row_stride, so = out.column_stride;
  const T* ahead = in.at(std::min(r + pad + 1, in.rows - 1), q0);
  for (int m = 0; m < maps; ++m, kernel += K * K * lanes) {
    Vector<T> sum[Q];
    const Vector<T> first = load(start + m * lanes);
#pragma GCC unroll 16
    for (int q = 0; q < Q; ++q) sum[q] = first;
    for (int i = i0; i < i1; ++i) {
      const T* row = from + i * sy;
      Vector<T> tap[K];
#pragma GCC unroll 8
      for (int j = 0; j < K; ++j) tap[j] = load(kernel + (i * K + j) * lanes);
#pragma GCC unroll 16
      for (int u = u0; u < u1; ++u) {
        const Vector<T> value = load(row + u * sx);
#pragma GCC unroll 8
        for (int j = 0; j < K; ++j)
          if (u - j >= 0 && u - j < Q) sum[u - j] += tap[j] * value;
      }
    }
#pragma GCC unroll 16
    for (int q = 0; q < Q; ++q) {
      store(to + q * so, sum[q]);
      __builtin_prefetch(ahead + q * sx, 0, 2);  // the row that the next output row is the first to need
    }
    from += in.map_stride;
    ahead += in.map_stride;
    to += out.map_stride;
  }
}

template <typename T, int Q, int K>
void stream_columns(const Maps<const T>& in, const T* kernel, const T* start, const Maps<T>& out, int q0, int r,
                    int maps) {
  const bool left = q0 == 0, right = q0 + Q == out.columns;
  if (left && right) return stream_strip<T, Q, K, true, true>(in, kernel, start, out, q0, r, maps);
  if constexpr (Q >= 4) {  // a row is one strip or several of at least 4 columns
    if (left) return stream_strip<T, Q, K, true, false>(in, kernel, start, out, q0, r, maps);
    if (right) return stream_strip<T, Q, K, false, true>(in, kernel, start, out, q0, r, maps);
    stream_strip<T, Q, K, false, false>(in, kernel, start, out, q0, r, maps);
  }
}

template <typename T, int K>
void stream_row(const Maps<const T>& in, const T* kernel, const T* start, const Maps<T>& out, int r, int maps) {
  const int strips = ceil_div(out.columns, 8);
  for (int s = 0; s < strips; ++s) {
    const int q0 = out.columns * s / strips;
    switch (out.columns * (s + 1) / strips - q0) {
      case 1: stream_columns<T, 1, K>(in, kernel, start, out, q0, r, maps); break;
      case 2: stream_columns<T, 2, K>(in, kernel, start, out, q0, r, maps); break;
      case 3: stream_columns<T, 3, K>(in, kernel, start, out, q0, r, maps); break;
      case 4: stream_columns<T, 4, K>(in, kernel, start, out, q0, r, maps); break;
      case 5: stream_columns<T, 5, K>(in, kernel, start, out, q0, r, maps); break;
      case 6: stream_columns<T, 6, K>(in, kernel, start, out, q0, r, maps); break;
      case 7: stream_columns<T, 7, K>(in, kernel, start, out, q0, r, maps); break;
      case 8: stream_columns<T, 8, K>(in, kernel, start, out, q0, r, maps); break;
    }
  }
}

// A (B, C, H, W) tensor of any strides.
template <typename P>
struct Tensor4 {
  P* data;
  int batch, channels, rows, columns;
  ptrdiff_t sb, sc, sy, sx;

  template <typename A>
  explicit Tensor4(const A& a)
      : data(a.data()), batch(a.shape(0)), channels(a.shape(1)), rows(a.shape(2)), columns(a.shape(3)),
        sb(a.stride(0)), sc(a.stride(1)), sy(a.stride(2)), sx(a.stride(3)) {}
};

template <typename T>
Maps<T> scratch_map(std::vector<std::remove_const_t<T>>& buffer, int rows, int columns) {
  const ptrdiff_t size = static_cast<ptrdiff_t>(rows) * columns * kLanes<std::remove_const_t<T>>;
  if (buffer.size() < static_cast<size_t>(size)) buffer.resize(size);
  constexpr int lanes = kLanes<std::remove_const_t<T>>;
  return {buffer.data(), rows, columns, size, static_cast<ptrdiff_t>(columns) * lanes, lanes};
}

// Copies channels c .. c+lanes-1 of one image into a map; lanes past the last channel are zero.
template <typename T>
void pack(const Tensor4<const T>& from, int b, int c, const Maps<T>& to) {
  const int count = std::min(kLanes<T>, from.channels - c);
  for (int y = 0; y < from.rows; ++y) {
    const T* row = from.data + b * from.sb + c * from.sc + y * from.sy;
    T* line = to.at(y, 0);
    if (from.sc == 1 && count == kLanes<T>) {
      for (int x = 0; x < from.columns; ++x) store(line + x * kLanes<T>, load(row + x * from.sx));
      continue;
    }
    if (count < kLanes<T>) std::fill(line, line + from.columns * kLanes<T>, T(0));
    for (int l = 0; l < count; ++l)
      for (int x = 0; x < from.columns; ++x) line[x * kLanes<T> + l] = row[l * from.sc + x * from.sx];
  }
}

template <typename T>
void unpack(const Maps<T>& from, int b, int c, const Tensor4<T>& to) {
  const int count = std::min(kLanes<T>, to.channels - c);
  for (int y = 0; y < to.rows; ++y)
    for (int l = 0; l < count; ++l)
      for (int x = 0; x < to.columns; ++x)
        to.data[b * to.sb + (c + l) * to.sc + y * to.sy + x * to.sx] = from.at(y, x)[l];
}

// The weight as maps, [vector of channels][kh][kw][lanes], turned by 180 degrees where asked.
template <typename T>
std::vector<T> pack_weight(const Tensor4<const T>& weight, bool turned) {
  const int taps = weight.rows * weight.columns, vectors = ceil_div(weight.batch, kLanes<T>);
  std::vector<T> packed(static_cast<size_t>(vectors) * taps * kLanes<T>);
  for (int c = 0; c < weight.batch; ++c)
    for (int t = 0; t < taps; ++t) {
      const T value = weight.data[c * weight.sb + t / weight.columns * weight.sy + t % weight.columns * weight.sx];
      const int place = turned ? taps - 1 - t : t;
      packed[(static_cast<size_t>(c / kLanes<T>) * taps + place) * kLanes<T> + c % kLanes<T>] = value;
    }
  return packed;
}

// Few taps: memory decides. All channels of a row are streamed in the order they lie in. Where positions are a multiple
// of 2 KiB apart, a window would fall on one or two sets of a 4 KiB cache way, so that the rows are copied first.
template <typename T, int K>
void stream(const Tensor4<const T>& x, const T* kernel, const T* start, const Tensor4<T>& out, int threads) {
  constexpr int lanes = kLanes<T>, pad = K / 2, block = 4;
  const int maps = x.channels / lanes;
  const bool copy = x.sx * sizeof(T) % 2048 == 0;
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> buffer(copy ? static_cast<size_t>(block + K - 1) * x.columns * x.channels : 0);
#pragma omp for collapse(2)
    for (int b = 0; b < x.batch; ++b)
      for (int r0 = 0; r0 < out.rows; r0 += block) {
        const int r1 = std::min(r0 + block, out.rows);
        const int y0 = copy ? std::max(0, r0 - pad) : 0, y1 = std::min(r1 + pad, x.rows);
        Maps<const T> in{x.data + b * x.sb, y1, x.columns, lanes, x.sy, x.sx};
        const Maps<T> to{out.data + b * out.sb, out.rows, out.columns, lanes, out.sy, out.sx};
        if (copy) {
          const Maps<T> rows{buffer.data(), y1 - y0, x.columns, x.columns * lanes, static_cast<ptrdiff_t>(x.columns) * x.channels, lanes};
          for (int y = y0; y < y1; ++y)
            for (int c = 0; c < x.columns; ++c)
              for (int m = 0; m < maps; ++m)
                store(rows.at(y - y0, c) + m * rows.map_stride, load(in.at(y, c) + m * lanes));
          in = {buffer.data() - y0 * rows.row_stride, y1, x.columns, rows.map_stride, rows.row_stride, lanes};
        }
        for (int r = r0; r < r1; ++r) stream_row<T, K>(in, kernel, start, to, r, maps);
      }
  }
}

template <typename T>
void convolve(const Tensor4<const T>& x, const Tensor4<const T>& weight, bool turned, const T* bias,
              const Tensor4<T>& out, int dilation, int threads) {
  constexpr int lanes = kLanes<T>;
  const Geometry g{weight.rows,  weight.columns, dilation * (weight.rows / 2), dilation * (weight.columns / 2), 1,
                   dilation};
  const int vectors = ceil_div(x.channels, lanes);
  const std::vector<T> kernel = pack_weight(weight, turned);
  std::vector<T> start(static_cast<size_t>(vectors) * lanes);
  if (bias) std::copy(bias, bias + x.channels, start.begin());
  const size_t kernel_size = static_cast<size_t>(weight.rows) * weight.columns * lanes;

  const bool contiguous = x.sc == 1 && out.sc == 1 && x.channels % lanes == 0;
  if (contiguous && dilation == 1 && weight.rows == weight.columns && (weight.rows == 3 || weight.rows == 5)) {
    return weight.rows == 3 ? stream<T, 3>(x, kernel.data(), start.data(), out, threads)
                            : stream<T, 5>(x, kernel.data(), start.data(), out, threads);
  }
  // Many taps: one vector of channels at a time, copied so that its rows lie side by side in the caches.
  constexpr int per_line = std::max<int>(1, kLineBytes / kVectorBytes);
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> in_buffer, out_buffer;
#pragma omp for collapse(2)
    for (int b = 0; b < x.batch; ++b)
      for (int line = 0; line < vectors; line += per_line)
        for (int v = line; v < std::min(vectors, line + per_line); ++v) {
          const Maps<T> in = scratch_map<T>(in_buffer, x.rows, x.columns);
          pack(x, b, v * lanes, in);
          const bool direct = out.sc == 1 && (v + 1) * lanes <= out.channels;
          const Maps<T> to = direct ? Maps<T>{out.data + b * out.sb + v * lanes, out.rows, out.columns, lanes, out.sy, out.sx}
                                    : scratch_map<T>(out_buffer, out.rows, out.columns);
          correlate<T>({in.data, in.rows, in.columns, in.map_stride, in.row_stride, in.column_stride},
                       kernel.data() + v * kernel_size, start.data() + v * lanes, to, g, 0, out.rows, 1);
          if (!direct) unpack(to, b, v * lanes, out);
        }
  }
}

template <typename T>
void forward(native::Array<const T> x, native::Array<const T> weight, std::optional<native::Array<const T>> bias,
             native::Array<T> out, int dilation, int threads) {
  convolve<T>(Tensor4<const T>(x), Tensor4<const T>(weight), false, bias ? bias->data() : nullptr, Tensor4<T>(out),
              dilation, threads);
}

template <typename T>
void grad_input(native::Array<const T> grad, native::Array<const T> weight, native::Array<T> grad_x, int dilation,
                int threads) {
  convolve<T>(Tensor4<const T>(grad), Tensor4<const T>(weight), true, nullptr, Tensor4<T>(grad_x), dilation, threads);
}

// grad_weight (C, 1, kh, kw) and grad_bias (C) are contiguous. Every image has its own partial sums, added in order.
template <typename T>
void grad_weight(native::Array<const T> grad_array, native::Array<const T> x_array, native::Array<T> grad_weight_array,
                 native::Array<T> grad_bias_array, int dilation, int threads) {
  constexpr int lanes = kLanes<T>;
  const Tensor4<const T> grad(grad_array), x(x_array);
  const int kh = grad_weight_array.shape(2), kw = grad_weight_array.shape(3), taps = kh * kw;
  const Geometry g{x.rows, x.columns, dilation * (kh / 2), dilation * (kw / 2), dilation, 1};
  const int vectors = ceil_div(x.channels, lanes);
  const size_t share = static_cast<size_t>(taps + 1) * lanes;  // the taps, then the bias
  std::vector<T> partial(static_cast<size_t>(x.batch) * vectors * share);
  constexpr int per_line = std::max<int>(1, kLineBytes / kVectorBytes);
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> x_buffer, grad_buffer;
#pragma omp for collapse(2)
    for (int b = 0; b < x.batch; ++b)
      for (int line = 0; line < vectors; line += per_line)
        for (int v = line; v < std::min(vectors, line + per_line); ++v) {
          const Maps<T> in = scratch_map<T>(x_buffer, x.rows, x.columns);
          const Maps<T> kernel = scratch_map<T>(grad_buffer, x.rows, x.columns);
          pack(x, b, v * lanes, in);
          pack(grad, b, v * lanes, kernel);
          T* sums = partial.data() + (static_cast<size_t>(b) * vectors + v) * share;
          const Maps<T> out{sums, kh, kw, 0, static_cast<ptrdiff_t>(kw) * lanes, lanes};
          correlate<T>({in.data, in.rows, in.columns, 0, in.row_stride, in.column_stride}, kernel.data, nullptr, out, g,
                       0, kh, 1);
          Vector<T> total{};
          for (int p = 0; p < x.rows * x.columns; ++p) total += load(kernel.data + p * lanes);
          store(sums + taps * lanes, total);
        }
#pragma omp for
    for (int c = 0; c < x.channels; ++c)
      for (int t = 0; t <= taps; ++t) {
        T sum = 0;
        for (int b = 0; b < x.batch; ++b)
          sum += partial[(static_cast<size_t>(b) * vectors + c / lanes) * share + t * lanes + c % lanes];
        (t < taps ? grad_weight_array.data()[static_cast<size_t>(c) * taps + t] : grad_bias_array.data()[c]) = sum;
      }
  }
}

template <typename T>
void bind_type(nb::module_& m) {
  using namespace nb::literals;
  using Release = nb::call_guard<nb::gil_scoped_release>;
  m.def("depthwise_conv2d_forward", &forward<T>, "x"_a, "weight"_a, "bias"_a.none(), "out"_a, "dilation"_a, "threads"_a,
        Release());
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

NATIVE_OPERATOR(bind);
