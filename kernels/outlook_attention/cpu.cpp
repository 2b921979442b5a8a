// Outlook attention, forward and backward, without the unfolded values. Each task holds one group of one image (in the
// forward pass a band of its rows) as a packed map with the zero border around it, so that the loops over windows know
// neither strides nor borders. Windows are visited in a fixed order, whatever the number of threads.
#include "native.h"
#include "neighborhood.h"
#include "parallel.h"

#include <limits>

namespace {

using native::Array;
using neighborhood::kTile;
using neighborhood::Plane;
using neighborhood::Tile;
using simd::Buffer;
using simd::kLanes;
using simd::load;
using simd::padded;
using simd::Vec;

// The sizes of a problem. The framed map is what the windows cover: it starts `padding` before the map.
template <typename T>
struct Problem {
  int batch, height, width, groups, channels, rows, columns;
  int kernel, stride, padding;
  T scale;
  int window, window_row;            // k * k, and the same padded to whole vectors
  int pixel, framed_height, framed_width;

  Problem(const Array<T>& scores, const Array<T>& value, int kernel, int stride, int padding, double scale)
      : batch(value.shape(0)), height(value.shape(1)), width(value.shape(2)), groups(value.shape(3)),
        channels(value.shape(4)), rows(scores.shape(1)), columns(scores.shape(2)), kernel(kernel), stride(stride),
        padding(padding), scale(static_cast<T>(scale)), window(kernel * kernel), window_row(padded<T>(window)),
        pixel(padded<T>(channels)), framed_height((rows - 1) * stride + kernel),
        framed_width((columns - 1) * stride + kernel) {}

  int maps() const { return batch * groups; }
  std::ptrdiff_t map_row() const { return static_cast<std::ptrdiff_t>(framed_width) * pixel; }
  std::size_t map_room() const { return framed_height * map_row(); }
  std::size_t weights_room() const { return static_cast<std::size_t>(window) * window_row; }
  std::size_t values_room() const { return static_cast<std::size_t>(window) * pixel; }
  // Where a window starts in the framed map.
  std::ptrdiff_t origin(int row, int column) const { return row * stride * map_row() + column * stride * pixel; }
};

// One group of one image of a (B, H, W, G, channels) tensor.
template <typename T>
Plane<T> plane(const Array<T>& tensor, int batch, int group) {
  return {tensor.data() + batch * tensor.stride(0) + group * tensor.stride(3), tensor.stride(1), tensor.stride(2),
          tensor.stride(4)};
}

// Rows [first, last) of the framed map from the plane, zero where there is none.
template <typename T>
void frame(const Problem<T>& p, const Plane<T>& from, int first, int last, T* map) {
  std::fill(map + first * p.map_row(), map + last * p.map_row(), T(0));
  const int left = p.padding, right = std::min(p.framed_width, p.width + p.padding);
  for (int y = std::max(first, p.padding); y < std::min(last, p.height + p.padding); ++y) {
    for (int x = left; x < right; ++x) {
      neighborhood::copy<T>(from.at(y - p.padding, x - p.padding), from.channel, map + y * p.map_row() + x * p.pixel, 1,
                            p.channels);
    }
  }
}

// Rows [first, last) of the plane from the framed map; positions that no window covers are zero.
template <typename T>
void unframe(const Problem<T>& p, const T* map, int first, int last, const Plane<T>& to) {
  for (int y = first; y < last; ++y) {
    for (int x = 0; x < p.width; ++x) {
      T* at = to.at(y, x);
      if (y + p.padding < p.framed_height && x + p.padding < p.framed_width) {
        neighborhood::copy<T>(map + (y + p.padding) * p.map_row() + (x + p.padding) * p.pixel, 1, at, to.channel,
                              p.channels);
      } else {
        for (int c = 0; c < p.channels; ++c) at[c * to.channel] = T(0);
      }
    }
  }
}

// The k * k x k * k scores of one window.
template <typename T>
struct Scores {
  T* data;
  std::ptrdiff_t row, column;

  Scores(const Array<T>& tensor, int batch, int group, int y, int x)
      : data(tensor.data() + batch * tensor.stride(0) + y * tensor.stride(1) + x * tensor.stride(2) +
             group * tensor.stride(3)),
        row(tensor.stride(4)), column(tensor.stride(5)) {}
};

// weights[i] = softmax(scale * scores[i]) for the rows [first, last) of a window; the padding of a row is zero.
template <typename T>
void softmax(const Problem<T>& p, const Scores<T>& scores, int first, int last, T* weights) {
  for (int i = first; i < last; ++i) {
    T* const row = weights + i * p.window_row;
    neighborhood::copy<T>(scores.data + i * scores.row, scores.column, row, 1, p.window);
    for (int j = 0; j < p.window; ++j) row[j] *= p.scale;
    std::fill(row + p.window, row + p.window_row, -std::numeric_limits<T>::infinity());
    const T factor = T(1) / simd::exponentials(row, p.window_row);
    for (int j = 0; j < p.window_row; ++j) row[j] *= factor;
  }
}

// Calls body(tile) for the rows [first, last) of a window, a few at a time; all of them see the window that starts at
// column 0.
template <typename Body>
void for_tiles(int first, int last, Body&& body) {
  const int parts = (last - first + kTile - 1) / kTile;
  for (int part = 0; part < parts; ++part) {
    const int from = first + (last - first) * part / parts, to = first + (last - first) * (part + 1) / parts;
    body(Tile{from, to - from, 0, 0});
  }
}

// Adds the (k * k, pixel) values of the rows [first, last) of a window to their places in the framed map.
template <typename T>
void add_to_map(const Problem<T>& p, const T* values, int first, int last, T* map) {
  const int length = p.kernel * p.pixel;
  for (int i = first; i < last; ++i) {
    T* const to = map + i * p.map_row();
    const T* const from = values + i * length;
    for (int c = 0; c < length; ++c) to[c] += from[c];
  }
}

template <typename T>
void forward(const Array<T>& scores, const Array<T>& value, const Array<T>& out, int kernel, int stride, int padding,
             double scale, int threads) {
  const Problem<T> p(scores, value, kernel, stride, padding, scale);
  const int bands = parallel::bands(p.maps(), p.height, threads);
  const std::size_t room = 2 * p.map_room() + p.weights_room() + p.values_room();
  const Buffer<T> scratch(padded<T>(room) * threads);

  parallel::run(p.maps() * bands, threads, [&](int task, int thread) {
    const int map = task / bands, band = task % bands, batch = map / p.groups, group = map % p.groups;
    T* const values = scratch.data() + padded<T>(room) * thread;
    T* const sums = values + p.map_room();
    T* const weights = sums + p.map_room();
    T* const mixed = weights + p.weights_room();
    const int first = p.height * band / bands, last = p.height * (band + 1) / bands;
    // The band in the framed map, and the windows that meet it.
    const int top = first + p.padding, bottom = std::min(last + p.padding, p.framed_height);
    const int from = std::max(0, (top - p.kernel + p.stride) / p.stride);
    const int to = std::min(p.rows, (bottom + p.stride - 1) / p.stride);
    if (from < to) frame(p, plane(value, batch, group), from * p.stride, (to - 1) * p.stride + p.kernel, values);
    if (top < bottom) std::fill(sums + top * p.map_row(), sums + bottom * p.map_row(), T(0));
    for (int y = from; y < to; ++y) {
      // The rows of these windows that lie in the band.
      const int begin = std::max(0, top - y * p.stride), end = std::min(p.kernel, bottom - y * p.stride);
      for (int x = 0; x < p.columns; ++x) {
        const std::ptrdiff_t origin = p.origin(y, x);
        softmax(p, Scores<T>(scores, batch, group, y, x), begin * p.kernel, end * p.kernel, weights);
        for_tiles(begin * p.kernel, end * p.kernel, [&](const Tile& tile) {
          neighborhood::gather(tile, p.kernel, weights + tile.first * p.window_row, p.window_row, values + origin,
                               p.framed_width, p.pixel, mixed + tile.first * p.pixel);
        });
        add_to_map(p, mixed, begin, end, sums + origin);
      }
    }
    unframe(p, sums, first, last, plane(out, batch, group));
  });
}

template <typename T>
T dot(const T* a, const T* b, int count) {
  Vec<T> total = {};
  for (int c = 0; c < count; c += kLanes<T>) total += load(a + c) * load(b + c);
  return simd::sum<T>(total);
}

// Through the softmax: grad_scores = scale * weights * (g - sum of weights * g), with g[i, j] = grad[i] . values[j].
template <typename T>
void grad_of_scores(const Problem<T>& p, const T* weights, const T* grad, const T* values, T* row,
                    const Scores<T>& out) {
  for (int i = 0; i < p.window; ++i) {
    const T* const w = weights + i * p.window_row;
    T mean = 0;
    for (int j = 0; j < p.window; ++j) {
      const T* const at = values + (j / p.kernel) * p.map_row() + (j % p.kernel) * p.pixel;
      row[j] = dot(grad + i * p.pixel, at, p.pixel);
      mean += w[j] * row[j];
    }
    for (int j = 0; j < p.window; ++j) row[j] = p.scale * w[j] * (row[j] - mean);
    neighborhood::copy<T>(row, 1, out.data + i * out.row, out.column, p.window);
  }
}

template <typename T>
void backward(const Array<T>& grad, const Array<T>& scores, const Array<T>& value, const Array<T>& grad_scores,
              const Array<T>& grad_value, int kernel, int stride, int padding, double scale, int threads) {
  const Problem<T> p(scores, value, kernel, stride, padding, scale);
  const std::size_t room = 3 * p.map_room() + p.weights_room() + p.values_room() + p.window_row;
  const Buffer<T> scratch(padded<T>(room) * threads);

  parallel::run(p.maps(), threads, [&](int task, int thread) {
    const int batch = task / p.groups, group = task % p.groups;
    T* const values = scratch.data() + padded<T>(room) * thread;
    T* const flow = values + p.map_room();
    T* const sums = flow + p.map_room();
    T* const weights = sums + p.map_room();
    T* const window = weights + p.weights_room();
    T* const row = window + p.values_room();
    frame(p, plane(value, batch, group), 0, p.framed_height, values);
    frame(p, plane(grad, batch, group), 0, p.framed_height, flow);
    std::fill(sums, sums + p.map_room(), T(0));
    for (int y = 0; y < p.rows; ++y) {
      for (int x = 0; x < p.columns; ++x) {
        const std::ptrdiff_t origin = p.origin(y, x);
        softmax(p, Scores<T>(scores, batch, group, y, x), 0, p.window, weights);
        for (int i = 0; i < p.kernel; ++i) {
          std::copy_n(flow + origin + i * p.map_row(), p.kernel * p.pixel, window + i * p.kernel * p.pixel);
        }
        for_tiles(0, p.window, [&](const Tile& tile) {
          neighborhood::scatter(tile, p.kernel, weights + tile.first * p.window_row, p.window_row,
                                window + tile.first * p.pixel, p.framed_width, p.pixel, sums + origin);
        });
        grad_of_scores(p, weights, window, values + origin, row, Scores<T>(grad_scores, batch, group, y, x));
      }
    }
    unframe(p, sums, 0, p.height, plane(grad_value, batch, group));
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("outlook_attention_forward", &forward<T>, "scores"_a.noconvert(), "value"_a.noconvert(), "out"_a.noconvert(),
        "kernel_size"_a, "stride"_a, "padding"_a, "scale"_a, "threads"_a, release);
  m.def("outlook_attention_backward", &backward<T>, "grad"_a.noconvert(), "scores"_a.noconvert(),
        "value"_a.noconvert(), "grad_scores"_a.noconvert(), "grad_value"_a.noconvert(), "kernel_size"_a, "stride"_a,
        "padding"_a, "scale"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
