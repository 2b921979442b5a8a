// Context mixing, forward and backward, without the (B, G, H, W, P) scores: each task holds one group of one image and
// works on a few neighbouring positions at a time.
//
// Since scores = (query key^T) projection^T, the projection is folded into the keys once for each task:
//   folded[c, p] = sum over r of key[r, c] * projection[p, r],   scores = query folded + biases.
// The backward pass computes scores and weights again and returns through the same products. What all tasks share
// (projection, its bias, position bias) is first written for each task and summed afterwards in the order of the tasks,
// so that the result does not depend on the number of threads.
#include "native.h"
#include "neighborhood_parts.h"
#include "parallel.h"
#include "window_scores.h"

#include <nanobind/stl/vector.h>

namespace {

using native::Array;
using neighborhood::kTile;
using neighborhood::Plane;
using neighborhood::plane;
using neighborhood::read_only;
using neighborhood::Tile;
using simd::Buffer;
using simd::kLanes;
using simd::load;
using simd::Matrix;
using simd::padded;
using simd::store;

// One kernel: where its windows lie in the given tensors and in the padded rows used here.
struct Branch {
  int kernel, index;
  int window, room;  // k * k scores, and the length of their padded row
  int given, begin;  // offset of its scores in P, and in a padded row of all branches
  int table;         // offset of its position bias
  std::vector<Tile> tiles;
};

template <typename T>
struct Problem {
  int batch, groups, height, width, depth, channels, regions;
  int given = 0, row = 0, tables = 0;  // P, the same with padding, and the length of a row of position_bias
  int pixel, wide_depth, wide_regions;
  std::vector<Branch> branches;

  Problem(const Array<T>& query, const Array<T>& key, const Array<T>& value, const std::vector<int>& kernels)
      : batch(query.shape(0)), groups(query.shape(1)), height(query.shape(2)), width(query.shape(3)),
        depth(query.shape(4)), channels(value.shape(5)), regions(key.shape(2)), pixel(padded<T>(channels)),
        wide_depth(padded<T>(depth)), wide_regions(padded<T>(regions)) {
    for (const int k : kernels) {
      const int room = neighborhood::window_room<T>(k), index = static_cast<int>(branches.size());
      branches.push_back({k, index, k * k, room, given, row, tables, neighborhood::tiles(width, k)});
      given += k * k, row += room, tables += (2 * k - 1) * (2 * k - 1);
    }
  }

  int maps() const { return batch * groups; }
  int positions() const { return height * width; }
  int largest_kernel() const {
    int k = 0;
    for (const Branch& branch : branches) k = std::max(k, branch.kernel);
    return k;
  }
};

// Group `group` of image `batch` of kernel `index` of a (B, K, G, H, W, C) tensor.
template <typename T>
Plane<T> plane(const Array<T>& tensor, int batch, int index, int group) {
  return {tensor.data() + batch * tensor.stride(0) + index * tensor.stride(1) + group * tensor.stride(2),
          tensor.stride(3), tensor.stride(4), tensor.stride(5)};
}
// The keys of one group of one image as a (regions, depth) matrix.
template <typename T>
Matrix<T> keys(const Array<T>& key, int batch, int group) {
  return {key.data() + batch * key.stride(0) + group * key.stride(1), key.stride(2), key.stride(3)};
}
template <typename T>
Matrix<T> transposed(const Matrix<T>& m) {
  return {m.data, m.column, m.row};
}

// projection^T as (regions, padded row), and its bias as one padded row. The padding is zero.
template <typename T>
struct Projection {
  Buffer<T> matrix, bias;

  Projection(const Problem<T>& p, const Array<T>& projection, const Array<T>& given_bias)
      : matrix(static_cast<std::size_t>(p.regions) * p.row), bias(p.row) {
    for (const Branch& branch : p.branches) {
      for (int i = 0; i < branch.window; ++i) {
        const T* from = projection.data() + (branch.given + i) * projection.stride(0);
        neighborhood::copy(from, projection.stride(1), matrix.data() + branch.begin + i, p.row, p.regions);
        bias.data()[branch.begin + i] = given_bias.data()[(branch.given + i) * given_bias.stride(0)];
      }
    }
  }
};

// out[i * k + j] = bias[i * k + j] + table[i * side + j], writing up to window_room(k) numbers.
template <typename T>
void add_rows(const T* bias, const T* table, int side, int k, T* out) {
  neighborhood::for_vectors<T>(k, [=](int i, int j) {
    store(out + i * k + j, load(bias + i * k + j) + load(table + i * side + j));
  });
}

// Scratch of one thread that both passes need.
template <typename T>
struct Common {
  T *folded, *table, *weights, *result;

  static std::size_t size(const Problem<T>& p) {
    return static_cast<std::size_t>(p.depth + kTile) * p.row + padded<T>(p.tables) + 2 * kLanes<T> * p.largest_kernel() +
           kTile * p.pixel;
  }
  Common(const Problem<T>& p, T* room)
      : folded(room), table(folded + p.depth * p.row + kTile * p.row + kTile * p.pixel),
        weights(folded + p.depth * p.row), result(weights + kTile * p.row) {}

  // Prepares the scores of one group of one image.
  void prepare(const Problem<T>& p, const Array<T>& key, const Projection<T>& projection,
               const Array<T>& position_bias, int batch, int group) const {
    simd::multiply(p.depth, p.row, p.regions, transposed(keys(key, batch, group)), projection.matrix.data(), p.row,
                   folded, p.row, false);
    neighborhood::copy<T>(position_bias.data() + group * position_bias.stride(0), position_bias.stride(1), table, 1,
                          p.tables);
  }

  // weights[q] := exp(scores - largest score) for a tile of row y; scale[q] := 1 / their sum.
  void exponentials(const Problem<T>& p, const Branch& branch, const Plane<T>& query, const T* bias, const Tile& tile,
                    int y, T* scale) const {
    const int k = branch.kernel, side = 2 * k - 1;
    const int top = neighborhood::window_start(y, p.height, k) - y + k - 1;
    for (int q = 0; q < tile.count; ++q) {
      const T* offsets = table + branch.table + top * side + tile.start + tile.step * q - (tile.first + q) + k - 1;
      add_rows(bias + branch.begin, offsets, side, k, weights + q * branch.room);
    }
    simd::multiply(tile.count, branch.room, p.depth, Matrix<T>{query.at(y, tile.first), query.column, query.channel},
                   folded + branch.begin, p.row, weights, branch.room, true);
    for (int q = 0; q < tile.count; ++q) {
      T* const row = weights + q * branch.room;
      scale[q] = T(1) / neighborhood::exponentials(row, branch.window, branch.room);
    }
  }
};

template <typename T>
void forward(const Array<T>& query, const Array<T>& key, const Array<T>& projection, const Array<T>& projection_bias,
             const Array<T>& position_bias, const Array<T>& value, const Array<T>& out, const std::vector<int>& kernels,
             int threads) {
  const Problem<T> p(query, key, value, kernels);
  const Projection<T> shared(p, projection, projection_bias);
  const int bands = parallel::bands(p.maps(), p.height, threads);
  const std::size_t common = padded<T>(Common<T>::size(p));
  const std::size_t room = common + static_cast<std::size_t>(p.positions()) * p.pixel;
  const Buffer<T> scratch(room * threads);

  parallel::run(p.maps() * bands, threads, [&](int task, int thread) {
    const int batch = task / bands / p.groups, group = task / bands % p.groups, band = task % bands;
    const int first = p.height * band / bands, last = p.height * (band + 1) / bands;
    const Common<T> own(p, scratch.data() + room * thread);
    T* const map = scratch.data() + room * thread + common;
    own.prepare(p, key, shared, position_bias, batch, group);
    const Plane<T> q = plane(query, batch, group);
    for (const Branch& branch : p.branches) {
      const int k = branch.kernel;
      const Plane<T> to = plane(out, batch, branch.index, group);
      neighborhood::pack(read_only(plane(value, batch, branch.index, group)),
                         neighborhood::window_start(first, p.height, k),
                         neighborhood::window_start(last - 1, p.height, k) + k, p.width, p.channels, map);
      for (int y = first; y < last; ++y) {
        const T* rows = map + static_cast<std::ptrdiff_t>(neighborhood::window_start(y, p.height, k)) * p.width * p.pixel;
        for (const Tile& tile : branch.tiles) {
          T scale[kTile];
          own.exponentials(p, branch, q, shared.bias.data(), tile, y, scale);
          neighborhood::gather(tile, k, own.weights, branch.room, rows, p.width, p.pixel, own.result);
          for (int i = 0; i < tile.count; ++i) {
            T* const row = own.result + i * p.pixel;
            for (int c = 0; c < p.pixel; c += kLanes<T>) store(row + c, load(row + c) * scale[i]);
            neighborhood::copy<T>(row, 1, to.at(y, tile.first + i), to.channel, p.channels);
          }
        }
      }
    }
  });
}

// What a task leaves for the gradients that all tasks share.
template <typename T>
struct Partial {
  Buffer<T> folded, bias, table;
  int row, depth, tables;

  explicit Partial(const Problem<T>& p)
      : folded(static_cast<std::size_t>(p.maps()) * p.depth * p.row), bias(static_cast<std::size_t>(p.maps()) * p.row),
        table(static_cast<std::size_t>(p.maps()) * padded<T>(p.tables + kLanes<T>)), row(p.row), depth(p.depth),
        tables(padded<T>(p.tables + kLanes<T>)) {}
  T* folded_of(int map) const { return folded.data() + static_cast<std::size_t>(map) * depth * row; }
  T* bias_of(int map) const { return bias.data() + static_cast<std::size_t>(map) * row; }
  T* table_of(int map) const { return table.data() + static_cast<std::size_t>(map) * tables; }
};

// Scratch of one thread that only the backward pass needs.
template <typename T>
struct Reverse {
  T *scores, *folded, *query, *map, *transposed, *key;

  static std::size_t size(const Problem<T>& p) {
    const std::size_t positions = p.positions();
    return static_cast<std::size_t>(kTile + p.wide_depth) * p.row + positions * (p.wide_depth + p.pixel) +
           static_cast<std::size_t>(p.height) * p.channels * neighborhood::transposed_width<T>(p.width) +
           p.depth * p.wide_regions;
  }
  Reverse(const Problem<T>& p, T* room)
      : scores(room), folded(scores + kTile * p.row), query(folded + p.wide_depth * p.row),
        map(query + static_cast<std::size_t>(p.positions()) * p.wide_depth),
        transposed(map + static_cast<std::size_t>(p.positions()) * p.pixel),
        key(transposed + static_cast<std::size_t>(p.height) * p.channels * neighborhood::transposed_width<T>(p.width)) {}
};

// The gradients of one group of one image; those that tasks share go to `partial`.
template <typename T>
struct Backward {
  const Problem<T>& p;
  const Array<T>&query, &key, &position_bias, &value, &grad, &grad_query, &grad_key, &grad_value;
  const Projection<T>& shared;
  const Partial<T>& partial;
  const T* projection;  // (padded row, wide_regions)

  void operator()(int task, T* room) const {
    const int batch = task / p.groups, group = task % p.groups;
    const Common<T> own(p, room);
    const Reverse<T> reverse(p, room + padded<T>(Common<T>::size(p)));
    own.prepare(p, key, shared, position_bias, batch, group);
    for (int c = 0; c < p.depth; ++c) {
      neighborhood::copy<T>(own.folded + c * p.row, 1, reverse.folded + c, p.wide_depth, p.row);
    }
    std::fill(reverse.query, reverse.map, T(0));
    for (const Branch& branch : p.branches) {
      neighborhood::pack_transposed(read_only(plane(value, batch, branch.index, group)), p.height, p.width, p.channels,
                                    reverse.transposed);
      std::fill(reverse.map, reverse.transposed, T(0));
      for (int y = 0; y < p.height; ++y) {
        for (const Tile& tile : branch.tiles) step(own, reverse, branch, tile, task, y);
      }
      neighborhood::unpack(reverse.map, p.height, p.width, p.channels, plane(grad_value, batch, branch.index, group));
    }
    const Plane<T> to = plane(grad_query, batch, group);
    for (int i = 0; i < p.positions(); ++i) {
      neighborhood::copy<T>(reverse.query + static_cast<std::ptrdiff_t>(i) * p.wide_depth, 1,
                            to.at(i / p.width, i % p.width), to.channel, p.depth);
    }
    simd::multiply(p.depth, p.wide_regions, p.row, Matrix<T>{partial.folded_of(task), p.row, 1}, projection,
                   p.wide_regions, reverse.key, p.wide_regions, false);
    T* const to_key = grad_key.data() + batch * grad_key.stride(0) + group * grad_key.stride(1);
    for (int r = 0; r < p.regions; ++r) {
      neighborhood::copy<T>(reverse.key + r, p.wide_regions, to_key + r * grad_key.stride(2), grad_key.stride(3),
                            p.depth);
    }
  }

  // One tile of positions of one kernel.
  void step(const Common<T>& own, const Reverse<T>& reverse, const Branch& branch, const Tile& tile, int task,
            int y) const {
    const int batch = task / p.groups, group = task % p.groups, k = branch.kernel;
    const Plane<T> q = plane(query, batch, group), g = plane(grad, batch, branch.index, group);
    const std::ptrdiff_t top = neighborhood::window_start(y, p.height, k);
    const int wide = neighborhood::transposed_width<T>(p.width);
    T scale[kTile];
    own.exponentials(p, branch, q, shared.bias.data(), tile, y, scale);
    for (int i = 0; i < tile.count; ++i) {
      T* const weights = own.weights + i * branch.room;
      T* const grad_row = own.result + i * p.pixel;
      T* const scores = reverse.scores + i * branch.room;
      for (int j = 0; j < branch.room; j += kLanes<T>) store(weights + j, load(weights + j) * scale[i]);
      neighborhood::copy<T>(g.at(y, tile.first + i), g.channel, grad_row, 1, p.channels);
      neighborhood::correlate<T>(grad_row, reverse.transposed + top * p.channels * wide + tile.start + tile.step * i, p.channels,
                                 wide, k, scores);
      neighborhood::softmax_backward(weights, scores, branch.window, branch.room);
      add_biases(branch, scores, task, y, tile.first + i, tile.start + tile.step * i);
    }
    neighborhood::scatter<T>(tile, k, own.weights, branch.room, own.result, p.width, p.pixel,
                             reverse.map + top * p.width * p.pixel);
    // grad folded += query^T grad_scores and grad query += grad_scores folded^T
    simd::multiply(p.depth, branch.room, tile.count, Matrix<T>{q.at(y, tile.first), q.channel, q.column}, reverse.scores,
                   branch.room, partial.folded_of(task) + branch.begin, p.row, true);
    simd::multiply(tile.count, p.wide_depth, branch.window, Matrix<T>{reverse.scores, branch.room, 1},
                   reverse.folded + branch.begin * p.wide_depth, p.wide_depth,
                   reverse.query + (static_cast<std::ptrdiff_t>(y) * p.width + tile.first) * p.wide_depth, p.wide_depth, true);
  }

  void add_biases(const Branch& branch, const T* scores, int task, int y, int x, int start) const {
    const int k = branch.kernel, side = 2 * k - 1;
    T* const bias = partial.bias_of(task) + branch.begin;
    for (int j = 0; j < branch.room; j += kLanes<T>) store(bias + j, load(bias + j) + load(scores + j));
    T* offsets = partial.table_of(task) + branch.table +
                 (neighborhood::window_start(y, p.height, k) - y + k - 1) * side + start - x + k - 1;
    neighborhood::scatter_rows<T>(scores, side, k, offsets);
  }
};

// Sums what the tasks left, always in the order of the tasks.
template <typename T>
void reduce(const Problem<T>& p, const Partial<T>& partial, const Array<T>& key, const Array<T>& grad_projection,
            const Array<T>& grad_bias, const Array<T>& grad_table, int threads) {
  const Buffer<T> total(static_cast<std::size_t>(p.regions) * p.row), bias(p.row);
  const int parts = std::min(threads, p.regions);
  parallel::run(parts, threads, [&](int part, int) {
    const int first = p.regions * part / parts, last = p.regions * (part + 1) / parts;
    for (int map = 0; map < p.maps(); ++map) {
      Matrix<T> k = keys(key, map / p.groups, map % p.groups);
      k.data += first * k.row;
      simd::multiply(last - first, p.row, p.depth, k, partial.folded_of(map), p.row, total.data() + first * p.row,
                     p.row, true);
    }
  });
  for (int map = 0; map < p.maps(); ++map) {
    for (int i = 0; i < p.row; ++i) bias.data()[i] += partial.bias_of(map)[i];
  }
  for (const Branch& branch : p.branches) {
    for (int i = 0; i < branch.window; ++i) {
      T* const to = grad_projection.data() + (branch.given + i) * grad_projection.stride(0);
      neighborhood::copy<T>(total.data() + branch.begin + i, p.row, to, grad_projection.stride(1), p.regions);
      grad_bias.data()[(branch.given + i) * grad_bias.stride(0)] = bias.data()[branch.begin + i];
    }
  }
  for (int group = 0; group < p.groups; ++group) {
    for (int i = 0; i < p.tables; ++i) {
      T sum = 0;
      for (int batch = 0; batch < p.batch; ++batch) sum += partial.table_of(batch * p.groups + group)[i];
      grad_table.data()[group * grad_table.stride(0) + i * grad_table.stride(1)] = sum;
    }
  }
}

template <typename T>
void backward(const Array<T>& grad, const Array<T>& query, const Array<T>& key, const Array<T>& projection,
              const Array<T>& projection_bias, const Array<T>& position_bias, const Array<T>& value,
              const Array<T>& grad_query, const Array<T>& grad_key, const Array<T>& grad_projection,
              const Array<T>& grad_bias, const Array<T>& grad_table, const Array<T>& grad_value,
              const std::vector<int>& kernels, int threads) {
  const Problem<T> p(query, key, value, kernels);
  const Projection<T> shared(p, projection, projection_bias);
  const Buffer<T> untransposed(static_cast<std::size_t>(p.row) * p.wide_regions);
  for (int r = 0; r < p.regions; ++r) {
    neighborhood::copy<T>(shared.matrix.data() + r * p.row, 1, untransposed.data() + r, p.wide_regions, p.row);
  }
  const Partial<T> partial(p);
  const std::size_t room = padded<T>(Common<T>::size(p)) + padded<T>(Reverse<T>::size(p));
  const Buffer<T> scratch(room * threads);
  const Backward<T> task{p,    query,      key,      position_bias, value,  grad,
                         grad_query, grad_key, grad_value,    shared, partial, untransposed.data()};
  parallel::run(p.maps(), threads, [&](int map, int thread) { task(map, scratch.data() + room * thread); });
  reduce(p, partial, key, grad_projection, grad_bias, grad_table, threads);
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("context_mix_forward", &forward<T>, "query"_a.noconvert(), "key"_a.noconvert(), "projection"_a.noconvert(),
        "projection_bias"_a.noconvert(), "position_bias"_a.noconvert(), "value"_a.noconvert(), "out"_a.noconvert(),
        "kernel_sizes"_a, "threads"_a, release);
  m.def("context_mix_backward", &backward<T>, "grad"_a.noconvert(), "query"_a.noconvert(), "key"_a.noconvert(),
        "projection"_a.noconvert(), "projection_bias"_a.noconvert(), "position_bias"_a.noconvert(),
        "value"_a.noconvert(), "grad_query"_a.noconvert(), "grad_key"_a.noconvert(), "grad_projection"_a.noconvert(),
        "grad_bias"_a.noconvert(), "grad_table"_a.noconvert(), "grad_value"_a.noconvert(), "kernel_sizes"_a,
        "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
