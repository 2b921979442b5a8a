// Neighbourhood attention, forward and backward, without the (B, G, H, W, kh * kw) scores. Each task is one residue class
// of one group of one image, in which windows are undilated: its keys are packed with positions along a row next to one
// another, so that the scores of a row of a window are one vector, its values channel by channel, so that they are summed
// a few neighbouring positions at a time.
//
// The backward pass makes the weights once more. What tasks share, the position bias, gets a gradient from each of them,
// summed afterwards in the order of the tasks, so that the result does not depend on the number of threads.
#include "native.h"
#include "neighborhood_parts.h"
#include "parallel.h"
#include "window_scores.h"

#include <nanobind/stl/pair.h>

namespace {

using native::Array;
using neighborhood::Extent;
using neighborhood::kTile;
using neighborhood::Maps;
using neighborhood::Part;
using neighborhood::Plane;
using neighborhood::read_only;
using neighborhood::Tile;
using simd::Buffer;
using simd::kLanes;
using simd::padded;

template <typename T>
using Bias = std::optional<Array<T>>;

// The sizes of a problem and of the rooms that its parts need.
template <typename T>
struct Problem : Maps {
  int depth, channels;  // of queries and keys, and of values
  int deep, pixel;      // the same in whole vectors
  int window, room;     // scores of a position, and the length of their row
  int side, table;      // width of a group's table of position biases, and the length that may be read
  int wide;             // of a row of packed keys, at most
  T scale;

  Problem(const Array<T>& query, const Array<T>& value, const Extent& kernel, const Extent& dilation, double scale)
      : Maps(query, kernel, dilation), depth(query.shape(4)), channels(value.shape(4)), deep(padded<T>(depth)),
        pixel(padded<T>(channels)), window(kernel.count()), room(neighborhood::window_room<T>(kernel)),
        side(2 * kernel.columns - 1), table(padded<T>((2 * kernel.rows - 1) * side) + padded<T>(kernel.columns)),
        wide(neighborhood::transposed_width<T>(most_columns())), scale(static_cast<T>(scale)) {}

  std::size_t transposed(int count) const { return static_cast<std::size_t>(most_rows()) * count * wide; }
};

// The packed position biases of every group, (groups, table); zeros without a bias.
template <typename T>
Buffer<T> tables(const Problem<T>& p, const Bias<T>& bias) {
  Buffer<T> all(static_cast<std::size_t>(p.groups) * p.table);
  if (!bias) return all;
  for (int group = 0; group < p.groups; ++group) {
    for (int i = 0; i < 2 * p.kernel.rows - 1; ++i) {
      neighborhood::copy<T>(bias->data() + group * bias->stride(0) + i * bias->stride(1), bias->stride(2),
                            all.data() + group * p.table + i * p.side, 1, p.side);
    }
  }
  return all;
}

// Where the bias of the first key of a position's window lies in a table.
template <typename T>
inline std::ptrdiff_t first_offset(const Problem<T>& p, int y, int top, int x, int left) {
  return static_cast<std::ptrdiff_t>(top - y + p.kernel.rows - 1) * p.side + left - x + p.kernel.columns - 1;
}

// to := factor * from
template <typename T>
inline void scaled(const T* from, std::ptrdiff_t step, T factor, T* to, std::ptrdiff_t to_step, int count) {
  if (step == 1 && to_step == 1) {
    for (int i = 0; i < count; ++i) to[i] = factor * from[i];
  } else {
    for (int i = 0; i < count; ++i) to[i * to_step] = factor * from[i * step];
  }
}

// What a thread needs to make the weights of a tile of positions.
template <typename T>
struct Weights {
  const Problem<T>& p;
  T *keys, *queries, *rows;  // packed keys; a row of scaled queries (width, deep); the tile's weights (kTile, room)
  const T* table = nullptr;
  int wide = 0;

  static std::size_t size(const Problem<T>& p) {
    return padded<T>(p.transposed(p.depth)) + static_cast<std::size_t>(p.most_columns()) * p.deep + kTile * p.room;
  }
  Weights(const Problem<T>& p, T* from)
      : p(p), keys(from), queries(from + padded<T>(p.transposed(p.depth))),
        rows(queries + static_cast<std::size_t>(p.most_columns()) * p.deep) {}

  // The rows of keys that positions in rows [first, last) of a part see. Keys in other rows are not touched.
  void prepare(const Part& part, const Plane<const T>& key, int first, int last, const T* group_table) {
    wide = neighborhood::transposed_width<T>(part.width), table = group_table;
    const int top = neighborhood::window_start(first, part.height, p.kernel.rows);
    const int bottom = neighborhood::window_start(last - 1, part.height, p.kernel.rows) + p.kernel.rows;
    neighborhood::pack_transposed<T>({key.at(top, 0), key.row, key.column, key.channel}, bottom - top, part.width,
                                     p.depth, keys + static_cast<std::ptrdiff_t>(top) * p.depth * wide);
  }

  // A whole row at a time, so that its positions, far apart in memory, are fetched together.
  void take_queries(const Part& part, const Plane<const T>& query, int y) const {
    for (int x = 0; x < part.width; ++x) {
      scaled<T>(query.at(y, x), query.channel, p.scale, queries + x * p.deep, 1, p.depth);
    }
  }

  // rows[q] := exp(scores - largest score) of a tile of row y; inverse[q] := 1 / their sum.
  void exponentials(const Tile& tile, int y, int top, T* inverse) const {
    const T* const seen = keys + static_cast<std::ptrdiff_t>(top) * p.depth * wide;
    for (int q = 0; q < tile.count; ++q) {
      const int x = tile.first + q, left = tile.start + tile.step * q;
      neighborhood::correlate<T>(queries + x * p.deep, seen + left, p.depth, wide, p.kernel, rows + q * p.room,
                                 {table + first_offset(p, y, top, x, left), p.side});
      inverse[q] = T(1) / neighborhood::exponentials(rows + q * p.room, p.window, p.room);
    }
  }
};

template <typename T>
void forward(const Array<T>& query, const Array<T>& key, const Array<T>& value, const Bias<T>& bias,
             const Array<T>& out, std::pair<int, int> kernel, std::pair<int, int> dilation, double scale, int threads) {
  const Problem<T> p(query, value, {kernel.first, kernel.second}, {dilation.first, dilation.second}, scale);
  const Buffer<T> biases = tables(p, bias);
  const int bands = parallel::bands(p.count(), p.height / p.dilation.rows, threads);
  const std::size_t own = padded<T>(Weights<T>::size(p)), map_room = p.most_positions() * p.pixel;
  const std::size_t room = own + map_room + kTile * p.pixel;
  const Buffer<T> scratch(room * threads);

  parallel::run(p.count() * bands, threads, [&](int task, int thread) {
    const Part part(p, task / bands);
    const std::vector<Tile> tiles = neighborhood::tiles(part.width, p.kernel.columns);
    Weights<T> weights(p, scratch.data() + room * thread);
    T* const map = scratch.data() + room * thread + own;
    T* const result = map + map_room;
    const Plane<const T> asked = read_only(part.of(query, p));
    const Plane<T> to = part.of(out, p);
    const int band = task % bands, first = part.height * band / bands, last = part.height * (band + 1) / bands;
    weights.prepare(part, read_only(part.of(key, p)), first, last, biases.data() + part.group * p.table);
    neighborhood::pack(read_only(part.of(value, p)), neighborhood::window_start(first, part.height, p.kernel.rows),
                       neighborhood::window_start(last - 1, part.height, p.kernel.rows) + p.kernel.rows, part.width,
                       p.channels, map);
    for (int y = first; y < last; ++y) {
      const int top = neighborhood::window_start(y, part.height, p.kernel.rows);
      const T* seen = map + static_cast<std::ptrdiff_t>(top) * part.width * p.pixel;
      weights.take_queries(part, asked, y);
      for (const Tile& tile : tiles) {
        T inverse[kTile];
        weights.exponentials(tile, y, top, inverse);
        neighborhood::gather(tile, p.kernel, weights.rows, p.room, seen, part.width, p.pixel, result);
        for (int q = 0; q < tile.count; ++q) {
          scaled<T>(result + q * p.pixel, 1, inverse[q], to.at(y, tile.first + q), to.channel, p.channels);
        }
      }
    }
  });
}

// The gradients of one residue class of one group of one image; that of its position bias goes to a table of its own.
template <typename T>
struct Backward {
  const Problem<T>& p;
  const Array<T>&grad, &query, &key, &value, &grad_query, &grad_key, &grad_value;
  const T* biases;
  T* grad_tables;

  // Scratch of one thread: packed values and keys, the gradients of both, and rows of one tile.
  struct Room {
    Weights<T> weights;
    T *values, *keys, *grad_keys, *grad_values, *flow, *grads, *result;

    static std::size_t size(const Problem<T>& p) {
      return padded<T>(Weights<T>::size(p)) + padded<T>(p.transposed(p.channels)) +
             p.most_positions() * (2 * p.deep + p.pixel) + kTile * (p.room + p.pixel + p.deep);
    }
    Room(const Problem<T>& p, T* from)
        : weights(p, from), values(from + padded<T>(Weights<T>::size(p))),
          keys(values + padded<T>(p.transposed(p.channels))), grad_keys(keys + p.most_positions() * p.deep),
          grad_values(grad_keys + p.most_positions() * p.deep), flow(grad_values + p.most_positions() * p.pixel),
          grads(flow + kTile * p.room), result(grads + kTile * p.pixel) {}
  };

  void operator()(int task, T* scratch) const {
    const Part part(p, task);
    Room room(p, scratch);
    const Plane<const T> from_key = read_only(part.of(key, p));
    room.weights.prepare(part, from_key, 0, part.height, biases + part.group * p.table);
    neighborhood::pack(from_key, 0, part.height, part.width, p.depth, room.keys);
    neighborhood::pack_transposed(read_only(part.of(value, p)), part.height, part.width, p.channels, room.values);
    std::fill(room.grad_keys, room.flow, T(0));
    const std::vector<Tile> tiles = neighborhood::tiles(part.width, p.kernel.columns);
    for (int y = 0; y < part.height; ++y) {
      room.weights.take_queries(part, read_only(part.of(query, p)), y);
      for (const Tile& tile : tiles) step(part, room, tile, y, grad_tables + static_cast<std::size_t>(task) * p.table);
    }
    neighborhood::unpack(room.grad_keys, part.height, part.width, p.depth, part.of(grad_key, p));
    neighborhood::unpack(room.grad_values, part.height, part.width, p.channels, part.of(grad_value, p));
  }

  // One tile of positions of row y.
  void step(const Part& part, const Room& room, const Tile& tile, int y, T* grad_table) const {
    const int top = neighborhood::window_start(y, part.height, p.kernel.rows);
    const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(top) * part.width;
    const Plane<const T> g = read_only(part.of(grad, p));
    const Plane<T> to = part.of(grad_query, p);
    T* const rows = room.weights.rows;
    T inverse[kTile];
    room.weights.exponentials(tile, y, top, inverse);
    for (int q = 0; q < tile.count; ++q) {
      const int x = tile.first + q, left = tile.start + tile.step * q;
      T *const weights = rows + q * p.room, *const flow = room.flow + q * p.room, *const out = room.grads + q * p.pixel;
      scaled<T>(weights, 1, inverse[q], weights, 1, p.room);
      neighborhood::copy<T>(g.at(y, x), g.channel, out, 1, p.channels);
      neighborhood::correlate<T>(out, room.values + static_cast<std::ptrdiff_t>(top) * p.channels * room.weights.wide + left,
                                 p.channels, room.weights.wide, p.kernel, flow);
      neighborhood::softmax_backward(weights, flow, p.window, p.room);
      neighborhood::scatter_rows(flow, p.side, p.kernel, grad_table + first_offset(p, y, top, x, left));
    }
    neighborhood::scatter(tile, p.kernel, rows, p.room, room.grads, part.width, p.pixel,
                          room.grad_values + first * p.pixel);
    neighborhood::scatter(tile, p.kernel, room.flow, p.room, room.weights.queries + tile.first * p.deep, part.width, p.deep,
                          room.grad_keys + first * p.deep);
    neighborhood::gather(tile, p.kernel, room.flow, p.room, room.keys + first * p.deep, part.width, p.deep, room.result);
    for (int q = 0; q < tile.count; ++q) {
      scaled<T>(room.result + q * p.deep, 1, p.scale, to.at(y, tile.first + q), to.channel, p.depth);
    }
  }
};

// Sums what the tasks left for each group, always in the order of the tasks.
template <typename T>
void sum_tables(const Problem<T>& p, const T* grad_tables, const Array<T>& grad_bias) {
  const int residues = p.dilation.count();
  for (int group = 0; group < p.groups; ++group) {
    for (int i = 0; i < 2 * p.kernel.rows - 1; ++i) {
      for (int j = 0; j < p.side; ++j) {
        T sum = 0;
        for (int batch = 0; batch < p.batch; ++batch) {
          const std::size_t first = (static_cast<std::size_t>(batch) * p.groups + group) * residues;
          for (int r = 0; r < residues; ++r) sum += grad_tables[(first + r) * p.table + i * p.side + j];
        }
        grad_bias.data()[group * grad_bias.stride(0) + i * grad_bias.stride(1) + j * grad_bias.stride(2)] = sum;
      }
    }
  }
}

template <typename T>
void backward(const Array<T>& grad, const Array<T>& query, const Array<T>& key, const Array<T>& value,
              const Bias<T>& bias, const Array<T>& grad_query, const Array<T>& grad_key, const Array<T>& grad_value,
              const Bias<T>& grad_bias, std::pair<int, int> kernel, std::pair<int, int> dilation, double scale,
              int threads) {
  const Problem<T> p(query, value, {kernel.first, kernel.second}, {dilation.first, dilation.second}, scale);
  const Buffer<T> biases = tables(p, bias), grad_tables(static_cast<std::size_t>(p.count()) * p.table);
  const std::size_t room = padded<T>(Backward<T>::Room::size(p));
  const Buffer<T> scratch(room * threads);
  const Backward<T> task{p,        grad,       query,         key, value, grad_query, grad_key, grad_value,
                         biases.data(), grad_tables.data()};
  parallel::run(p.count(), threads, [&](int part, int thread) { task(part, scratch.data() + room * thread); });
  if (grad_bias) sum_tables(p, grad_tables.data(), *grad_bias);
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("neighborhood_attention_forward", &forward<T>, "query"_a.noconvert(), "key"_a.noconvert(),
        "value"_a.noconvert(), "bias"_a.noconvert().none(), "out"_a.noconvert(), "kernel_size"_a, "dilation"_a,
        "scale"_a, "threads"_a, release);
  m.def("neighborhood_attention_backward", &backward<T>, "grad"_a.noconvert(), "query"_a.noconvert(),
        "key"_a.noconvert(), "value"_a.noconvert(), "bias"_a.noconvert().none(), "grad_query"_a.noconvert(),
        "grad_key"_a.noconvert(), "grad_value"_a.noconvert(), "grad_bias"_a.noconvert().none(), "kernel_size"_a,
        "dilation"_a, "scale"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
