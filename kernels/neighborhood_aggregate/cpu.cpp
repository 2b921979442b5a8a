// Neighbourhood aggregation, forward and backward. Each task is one residue class of one group of one image: its map is
// packed, so that the loops over windows see unit strides whatever the tensors' strides are.
#include "native.h"
#include "neighborhood.h"
#include "parallel.h"

namespace {

using neighborhood::Plane;
using neighborhood::Tile;
using simd::Buffer;
using simd::padded;

// A (B, G, H, W, channels) tensor.
template <typename T>
Plane<T> plane(const native::Array<T>& tensor, int batch, int group) {
  return {tensor.data() + batch * tensor.stride(0) + group * tensor.stride(1), tensor.stride(2), tensor.stride(3),
          tensor.stride(4)};
}

template <typename T>
Plane<const T> read_only(const Plane<T>& from) {
  return {from.data, from.row, from.column, from.channel};
}

// The sizes of a problem and its division into tasks.
struct Problem {
  int batch, groups, height, width, channels, kernel, dilation;

  template <typename T>
  Problem(const native::Array<T>& value, int kernel, int dilation)
      : batch(value.shape(0)), groups(value.shape(1)), height(value.shape(2)), width(value.shape(3)),
        channels(value.shape(4)), kernel(kernel), dilation(dilation) {}

  int maps() const { return batch * groups * dilation * dilation; }
  // Numbers that the packed map of one residue class needs at most.
  std::size_t room(int pixel) const {
    return static_cast<std::size_t>(neighborhood::members(height, 0, dilation)) *
           neighborhood::members(width, 0, dilation) * pixel;
  }
};

// One residue class of one group of one image.
struct Part {
  int batch, group, y, x, height, width;

  Part(const Problem& p, int task) {
    x = task % p.dilation, task /= p.dilation;
    y = task % p.dilation, task /= p.dilation;
    group = task % p.groups, batch = task / p.groups;
    height = neighborhood::members(p.height, y, p.dilation);
    width = neighborhood::members(p.width, x, p.dilation);
  }

  template <typename T>
  Plane<T> of(const native::Array<T>& tensor, int dilation) const {
    return plane(tensor, batch, group).residue(y, x, dilation);
  }
};

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
  const Problem p(value, kernel, dilation);
  const int pixel = padded<T>(p.channels), window = kernel * kernel;
  const int bands = parallel::bands(p.maps(), p.height / dilation, threads);
  const std::size_t map_room = p.room(pixel), weights_room = neighborhood::kTile * window;
  const std::size_t room = padded<T>(map_room + weights_room) + neighborhood::kTile * pixel;
  const Buffer<T> scratch(room * threads);

  parallel::run(p.maps() * bands, threads, [&](int task, int thread) {
    const Part part(p, task / bands);
    const std::vector<Tile> tiles = neighborhood::tiles(part.width, kernel);
    T* const map = scratch.data() + room * thread;
    T* const tile_weights = map + map_room;
    T* const result = map + padded<T>(map_room + weights_room);
    const Plane<T> from = part.of(weights, dilation), to = part.of(out, dilation);
    const int band = task % bands, first = part.height * band / bands, last = part.height * (band + 1) / bands;
    neighborhood::pack(read_only(part.of(value, dilation)), neighborhood::window_start(first, part.height, kernel),
                       neighborhood::window_start(last - 1, part.height, kernel) + kernel, part.width, p.channels, map);
    for (int y = first; y < last; ++y) {
      const T* rows = map + static_cast<std::ptrdiff_t>(neighborhood::window_start(y, part.height, kernel)) *
                                part.width * pixel;
      for (const Tile& tile : tiles) {
        const Rows<T> w(from, y, tile.first, tile.count, window, tile_weights, window);
        neighborhood::gather(tile, kernel, w.data, w.row, rows, part.width, pixel, result);
        for (int q = 0; q < tile.count; ++q) {
          neighborhood::copy(result + q * pixel, 1, to.at(y, tile.first + q), to.channel, p.channels);
        }
      }
    }
  });
}

template <typename T>
void grad_value(const native::Array<T>& grad, const native::Array<T>& weights, const native::Array<T>& grad_value,
                int kernel, int dilation, int threads) {
  const Problem p(grad_value, kernel, dilation);
  const int pixel = padded<T>(p.channels), window = kernel * kernel;
  const std::size_t map_room = p.room(pixel), weights_room = neighborhood::kTile * window;
  const std::size_t room = padded<T>(map_room + weights_room) + neighborhood::kTile * pixel;
  const Buffer<T> scratch(room * threads);

  parallel::run(p.maps(), threads, [&](int task, int thread) {
    const Part part(p, task);
    const std::vector<Tile> tiles = neighborhood::tiles(part.width, kernel);
    T* const map = scratch.data() + room * thread;
    T* const tile_weights = map + map_room;
    T* const tile_grad = map + padded<T>(map_room + weights_room);
    const Plane<T> from = part.of(weights, dilation), g = part.of(grad, dilation);
    std::fill(map, map + map_room, T(0));
    for (int y = 0; y < part.height; ++y) {
      T* rows = map +
                static_cast<std::ptrdiff_t>(neighborhood::window_start(y, part.height, kernel)) * part.width * pixel;
      for (const Tile& tile : tiles) {
        const Rows<T> w(from, y, tile.first, tile.count, window, tile_weights, window);
        for (int q = 0; q < tile.count; ++q) {
          neighborhood::copy<T>(g.at(y, tile.first + q), g.channel, tile_grad + q * pixel, 1, p.channels);
        }
        neighborhood::scatter(tile, kernel, w.data, w.row, tile_grad, part.width, pixel, rows);
      }
    }
    neighborhood::unpack(map, part.height, part.width, p.channels, part.of(grad_value, dilation));
  });
}

template <typename T>
void grad_weights(const native::Array<T>& grad, const native::Array<T>& value, const native::Array<T>& grad_weights,
                  int kernel, int dilation, int threads) {
  const Problem p(value, kernel, dilation);
  const int window = kernel * kernel, window_room = neighborhood::window_room<T>(kernel);
  const int widest = neighborhood::transposed_width<T>(neighborhood::members(p.width, 0, dilation));
  const std::size_t map_room =
      static_cast<std::size_t>(neighborhood::members(p.height, 0, dilation)) * p.channels * widest;
  const std::size_t room = padded<T>(map_room + window_room + p.channels);
  const Buffer<T> scratch(room * threads);

  parallel::run(p.maps(), threads, [&](int task, int thread) {
    const Part part(p, task);
    T* const map = scratch.data() + room * thread;
    T* const result = map + map_room;
    const Plane<T> g = part.of(grad, dilation), to = part.of(grad_weights, dilation);
    const int wide = neighborhood::transposed_width<T>(part.width);
    neighborhood::pack_transposed(read_only(part.of(value, dilation)), part.height, part.width, p.channels, map);
    for (int y = 0; y < part.height; ++y) {
      const T* rows = map + static_cast<std::ptrdiff_t>(neighborhood::window_start(y, part.height, kernel)) *
                                p.channels * wide;
      for (int x = 0; x < part.width; ++x) {
        const Rows<T> position(g, y, x, 1, p.channels, result + window_room, 0);
        neighborhood::correlate(position.data, rows + neighborhood::window_start(x, part.width, kernel), p.channels,
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
