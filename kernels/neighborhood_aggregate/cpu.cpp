// Neighbourhood aggregation, forward and backward. Each task is one residue class of one group of one image: its map is
// packed, so that the loops over windows see unit strides whatever the tensors' strides are.
#include "native.h"
#include "neighborhood_parts.h"
#include "parallel.h"

namespace {

using neighborhood::Maps;
using neighborhood::Part;
using neighborhood::Plane;
using neighborhood::read_only;
using neighborhood::Tile;
using simd::Buffer;
using simd::padded;

// The tile's rows of a (.., W, count) plane with unit stride, where they lie if they can be used so, else in `room`.
template <typename T>
struct Rows {
  const T* data;
  std::ptrdiff_t row;

  Rows(const Plane<T>& from, int y, int x, int rows, int count, T* room, int room_row)
      : data(from.at(y, x)), row(from.column) {
    if (from.channel == 1) return;
    for (int q = 0; q < rows; ++q) neighborhood::copy<T>(from.at(y, x + q), from.channel, room + q * room_row, 1, count);
    data = room, row = room_row;
  }
};

template <typename T>
void forward(const native::Array<T>& weights, const native::Array<T>& value, const native::Array<T>& out, int kernel,
             int dilation, int threads) {
  const Maps p(value, kernel, dilation);
  const int channels = value.shape(4), pixel = padded<T>(channels), window = kernel * kernel;
  const int bands = parallel::bands(p.count(), p.height / dilation, threads);
  const std::size_t map_room = p.most_positions() * pixel, weights_room = neighborhood::kTile * window;
  const std::size_t room = padded<T>(map_room + weights_room) + neighborhood::kTile * pixel;
  const Buffer<T> scratch(room * threads);

  parallel::run(p.count() * bands, threads, [&](int task, int thread) {
    const Part part(p, task / bands);
    const std::vector<Tile> tiles = neighborhood::tiles(part.width, kernel);
    T* const map = scratch.data() + room * thread;
    T* const tile_weights = map + map_room;
    T* const result = map + padded<T>(map_room + weights_room);
    const Plane<T> from = part.of(weights, p), to = part.of(out, p);
    const int band = task % bands, first = part.height * band / bands, last = part.height * (band + 1) / bands;
    neighborhood::pack(read_only(part.of(value, p)), neighborhood::window_start(first, part.height, kernel),
                       neighborhood::window_start(last - 1, part.height, kernel) + kernel, part.width, channels, map);
    for (int y = first; y < last; ++y) {
      const T* rows = map + static_cast<std::ptrdiff_t>(neighborhood::window_start(y, part.height, kernel)) *
                                part.width * pixel;
      for (const Tile& tile : tiles) {
        const Rows<T> w(from, y, tile.first, tile.count, window, tile_weights, window);
        neighborhood::gather(tile, kernel, w.data, w.row, rows, part.width, pixel, result);
        for (int q = 0; q < tile.count; ++q) {
          neighborhood::copy(result + q * pixel, 1, to.at(y, tile.first + q), to.channel, channels);
        }
      }
    }
  });
}

template <typename T>
void grad_value(const native::Array<T>& grad, const native::Array<T>& weights, const native::Array<T>& grad_value,
                int kernel, int dilation, int threads) {
  const Maps p(grad_value, kernel, dilation);
  const int channels = grad_value.shape(4), pixel = padded<T>(channels), window = kernel * kernel;
  const std::size_t map_room = p.most_positions() * pixel, weights_room = neighborhood::kTile * window;
  const std::size_t room = padded<T>(map_room + weights_room) + neighborhood::kTile * pixel;
  const Buffer<T> scratch(room * threads);

  parallel::run(p.count(), threads, [&](int task, int thread) {
    const Part part(p, task);
    const std::vector<Tile> tiles = neighborhood::tiles(part.width, kernel);
    T* const map = scratch.data() + room * thread;
    T* const tile_weights = map + map_room;
    T* const tile_grad = map + padded<T>(map_room + weights_room);
    const Plane<T> from = part.of(weights, p), g = part.of(grad, p);
    std::fill(map, map + map_room, T(0));
    for (int y = 0; y < part.height; ++y) {
      T* rows = map +
                static_cast<std::ptrdiff_t>(neighborhood::window_start(y, part.height, kernel)) * part.width * pixel;
      for (const Tile& tile : tiles) {
        const Rows<T> w(from, y, tile.first, tile.count, window, tile_weights, window);
        for (int q = 0; q < tile.count; ++q) {
          neighborhood::copy<T>(g.at(y, tile.first + q), g.channel, tile_grad + q * pixel, 1, channels);
        }
        neighborhood::scatter(tile, kernel, w.data, w.row, tile_grad, part.width, pixel, rows);
      }
    }
    neighborhood::unpack(map, part.height, part.width, channels, part.of(grad_value, p));
  });
}

template <typename T>
void grad_weights(const native::Array<T>& grad, const native::Array<T>& value, const native::Array<T>& grad_weights,
                  int kernel, int dilation, int threads) {
  const Maps p(value, kernel, dilation);
  const int channels = value.shape(4), window = kernel * kernel, window_room = neighborhood::window_room<T>(kernel);
  const int widest = neighborhood::transposed_width<T>(p.most_columns());
  const std::size_t map_room = static_cast<std::size_t>(p.most_rows()) * channels * widest;
  const std::size_t room = padded<T>(map_room + window_room + channels);
  const Buffer<T> scratch(room * threads);

  parallel::run(p.count(), threads, [&](int task, int thread) {
    const Part part(p, task);
    T* const map = scratch.data() + room * thread;
    T* const result = map + map_room;
    const Plane<T> g = part.of(grad, p), to = part.of(grad_weights, p);
    const int wide = neighborhood::transposed_width<T>(part.width);
    neighborhood::pack_transposed(read_only(part.of(value, p)), part.height, part.width, channels, map);
    for (int y = 0; y < part.height; ++y) {
      const T* rows = map + static_cast<std::ptrdiff_t>(neighborhood::window_start(y, part.height, kernel)) *
                                channels * wide;
      for (int x = 0; x < part.width; ++x) {
        const Rows<T> position(g, y, x, 1, channels, result + window_room, 0);
        neighborhood::correlate(position.data, rows + neighborhood::window_start(x, part.width, kernel), channels,
                                wide, kernel, result);
        neighborhood::copy(result, 1, to.at(y, x), to.channel, window);
      }
    }
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("neighborhood_aggregate_forward", &forward<T>, "weights"_a.noconvert(), "value"_a.noconvert(),
        "out"_a.noconvert(), "kernel_size"_a, "dilation"_a, "threads"_a, release);
  m.def("neighborhood_aggregate_grad_value", &grad_value<T>, "grad"_a.noconvert(), "weights"_a.noconvert(),
        "grad_value"_a.noconvert(), "kernel_size"_a, "dilation"_a, "threads"_a, release);
  m.def("neighborhood_aggregate_grad_weights", &grad_weights<T>, "grad"_a.noconvert(), "value"_a.noconvert(),
        "grad_weights"_a.noconvert(), "kernel_size"_a, "dilation"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
