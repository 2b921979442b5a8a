// Biased attention, forward and backward. A task is one head of one grid: its keys and values are packed once, then its
// queries pass by in tiles, whose scores (a few rows) are the only ones in memory.
#include "grids.h"
#include "parallel.h"

namespace {

using namespace biased_attention;
using simd::Buffer;
using simd::Matrix;

// Each row := the numerators of its softmax over the first `count` entries, the rest up to `wide` 0; `factor` := one over
// their sums. All maxima come first, because a row's numerators wait for its own while those of rows do not.
template <typename T>
void numerators(T* x, int rows, int count, int wide, T* factor) {
  for (int row = 0; row < rows; ++row) {
    T* const own = x + row * wide;
    std::fill(own + count, own + wide, -std::numeric_limits<T>::infinity());
    Vec<T> top = load(own);
    for (int i = kLanes<T>; i < wide; i += kLanes<T>) {
      const Vec<T> next = load(own + i);
      top = next > top ? next : top;
    }
    T lanes[kLanes<T>];
    store(lanes, top);
    factor[row] = simd::fold(lanes, [](T a, T b) { return a > b ? a : b; });
  }
  for (int row = 0; row < rows; ++row) {
    T* const own = x + row * wide;
    const T largest = factor[row];
    Vec<T> total = {};
    for (int i = 0; i < wide; i += kLanes<T>) {
      const Vec<T> e = simd::exp_nonpositive(load(own + i) - largest);
      total += e;
      store(own + i, e);
    }
    factor[row] = 1 / simd::sum<T>(total);
  }
}

// to := a * x + b * y
template <typename T>
void combine(const T* x, T a, const T* y, T b, T* to, int room) {
  for (int i = 0; i < room; i += kLanes<T>) store(to + i, a * load(x + i) + b * load(y + i));
}

template <typename T>
T dot(const T* x, const T* y, int room) {
  Vec<T> total = {};
  for (int i = 0; i < room; i += kLanes<T>) total += load(x + i) * load(y + i);
  return simd::sum<T>(total);
}

// The attention weights of one head's queries, a tile at a time.
template <typename T>
struct Weights {
  const Problem& p;
  const T* table;  // of this head
  const T* keys;   // (depth, wide), scaled
  T share;         // of the positional softmax
  bool gated;
  int wide, deep;
  T *queries, *content, *position;  // room for a tile: (kTile, deep), (kTile, wide) and, gated, (kTile, wide)

  static std::size_t size(const Problem& p, bool gated) {
    const std::size_t wide = padded<T>(p.positions()), deep = padded<T>(p.depth);
    return kTile * (deep + wide * (gated ? 2 : 1));
  }

  // Leaves numerators in `content` and `position`, and gives the factor of each that makes up the weights.
  void prepare(const Grid<T>& query, int first, int count, T* content_factor, T* position_factor) const {
    const int n = p.positions();
    Matrix<T> rows{query.at(first), query.column, 1};
    if (!query.is_matrix(p.height, p.depth)) {
      pack(query, first, count, p.depth, queries, deep);
      rows = {queries, deep, 1};
    }
    for (int i = 0; i < count; ++i) look_up(p, table, first + i, (gated ? position : content) + i * wide);
    simd::multiply(count, wide, p.depth, rows, keys, wide, content, wide, !gated);
    numerators(content, count, n, wide, content_factor);
    if (gated) numerators(position, count, n, wide, position_factor);
  }
};

template <typename T>
struct Tables {
  const Problem& p;
  Buffer<T> all;

  Tables(const Problem& p, const Array<T>& table) : p(p), all(static_cast<std::size_t>(p.heads) * p.offsets()) {
    for (int head = 0; head < p.heads; ++head) pack_table(p, table, head, all.data() + head * p.offsets());
  }
  const T* of(int task) const { return all.data() + p.head(task) * p.offsets(); }
};

template <typename T>
T share_of(const std::optional<Array<T>>& gate, int head) {
  return gate ? gate->data()[head * gate->stride(0)] : T(0);
}

template <typename T>
void forward(const Array<T>& query, const Array<T>& key, const Array<T>& value, const Array<T>& table,
             const std::optional<Array<T>>& gate, const Array<T>& out, double scale, int threads) {
  const Problem p(query, value);
  const bool gated = gate.has_value();
  const int n = p.positions(), wide = padded<T>(n), deep = padded<T>(p.depth), pixel = padded<T>(p.channels);
  const int bands = parallel::bands(p.tasks(), n, threads);
  const Tables<T> tables(p, table);
  const std::size_t key_room = static_cast<std::size_t>(p.depth) * wide;
  const std::size_t value_room = static_cast<std::size_t>(n) * pixel, tile_room = Weights<T>::size(p, gated);
  const std::size_t room = key_room + value_room + tile_room + kTile * pixel;
  const Buffer<T> scratch(room * threads);

  parallel::run(p.tasks() * bands, threads, [&](int index, int thread) {
    const int task = index / bands, band = index % bands;
    T* const keys = scratch.data() + room * thread;
    T* const values = keys + key_room;
    T* const queries = values + value_room;
    T* const content = queries + kTile * deep;
    T* const result = queries + tile_room;
    const T share = share_of(gate, p.head(task));
    const Weights<T> weights{p,    tables.of(task), keys,    share,   gated,
                             wide, deep,            queries, content, content + kTile * wide};
    const Grid<T> q = p.grid(query, task), v = p.grid(value, task), to = p.grid(out, task);
    pack_transposed(p.grid(key, task), n, p.depth, static_cast<T>(scale), keys, wide);
    const bool in_place = v.is_matrix(p.height, p.channels);
    if (!in_place) pack(v, 0, n, p.channels, values, pixel);
    const int tiles = p.tiles();
    for (int tile = tiles * band / bands; tile < tiles * (band + 1) / bands; ++tile) {
      const int i = p.first(tile), count = p.first(tile + 1) - i;
      T factor[kTile], position_factor[kTile];
      weights.prepare(q, i, count, factor, position_factor);
      if (gated) {
        for (int j = 0; j < count; ++j) {
          combine(content + j * wide, (1 - share) * factor[j], weights.position + j * wide, share * position_factor[j],
                  content + j * wide, wide);
          factor[j] = 1;
        }
      }
      simd::multiply(count, pixel, n, Matrix<T>{content, wide, 1}, in_place ? v.data : values,
                     in_place ? v.column : pixel, result, pixel, false);
      unpack(result, pixel, factor, i, count, p.channels, to);
    }
  });
}

// What the backward pass of one head needs, in scratch memory.
template <typename T>
struct Reverse {
  T *keys, *values;                               // transposed: (depth, wide), (channels, wide)
  T *key_rows, *grad_keys, *grad_values;          // (positions, deep), (positions, deep), (positions, pixel)
  T *grads, *grad_weights, *grad_queries, *tile;  // for a tile: (kTile, pixel), (kTile, wide), (kTile, deep)

  static std::size_t size(const Problem& p, bool gated) {
    const std::size_t n = p.positions(), wide = padded<T>(n), deep = padded<T>(p.depth), pixel = padded<T>(p.channels);
    return (p.depth + p.channels) * wide + n * (2 * deep + pixel) + kTile * (pixel + wide + deep) +
           Weights<T>::size(p, gated);
  }

  Reverse(const Problem& p, T* room) : keys(room) {
    const std::size_t n = p.positions(), wide = padded<T>(n), deep = padded<T>(p.depth), pixel = padded<T>(p.channels);
    values = keys + p.depth * wide, key_rows = values + p.channels * wide, grad_keys = key_rows + n * deep;
    grad_values = grad_keys + n * deep, grads = grad_values + n * pixel, grad_weights = grads + kTile * pixel;
    grad_queries = grad_weights + kTile * wide, tile = grad_queries + kTile * deep;
  }
};

// The gradients of one head of one grid; `grad_table` and `grad_gate` are the task's own, to be summed later.
template <typename T>
struct Backward {
  const Problem& p;
  const Array<T>&query, &key, &value, &grad, &grad_query, &grad_key, &grad_value;
  T scale;
  bool gated;

  void operator()(int task, const T* table, T share, T* room, T* grad_table, T* grad_gate) const {
    const int n = p.positions(), wide = padded<T>(n), deep = padded<T>(p.depth), pixel = padded<T>(p.channels);
    const Reverse<T> own(p, room);
    T* const content = own.tile + kTile * deep;
    const Weights<T> weights{p,    table, own.keys, share,   gated,
                             wide, deep,  own.tile, content, content + kTile * wide};
    const Grid<T> q = p.grid(query, task), g = p.grid(grad, task), to = p.grid(grad_query, task);
    pack_transposed(p.grid(key, task), n, p.depth, scale, own.keys, wide);
    pack_transposed(p.grid(value, task), n, p.channels, T(1), own.values, wide);
    pack(p.grid(key, task), 0, n, p.depth, own.key_rows, deep);
    std::fill(own.grad_keys, own.grads, T(0));
    T scales[kTile], ones[kTile];
    std::fill(scales, scales + kTile, scale), std::fill(ones, ones + kTile, T(1));
    for (int tile = 0; tile < p.tiles(); ++tile) {
      const int first = p.first(tile), count = p.first(tile + 1) - first;
      T factor[kTile], position_factor[kTile];
      weights.prepare(q, first, count, factor, position_factor);
      pack(g, first, count, p.channels, own.grads, pixel);
      simd::multiply(count, wide, p.channels, Matrix<T>{own.grads, pixel, 1}, own.values, wide, own.grad_weights, wide,
                     false);
      for (int i = 0; i < count; ++i) {
        scores_gradient(weights, i * wide, factor[i], position_factor[i], own, grad_gate);
        add_to_table(p, gated ? weights.position + i * wide : own.grad_weights + i * wide, first + i, grad_table);
      }
      // `content` holds the weights now, `grad_weights` the gradient of the scores.
      pack(q, first, count, p.depth, weights.queries, deep);
      simd::multiply(n, pixel, count, Matrix<T>{content, 1, wide}, own.grads, pixel, own.grad_values, pixel, true);
      simd::multiply(n, deep, count, Matrix<T>{own.grad_weights, 1, wide}, weights.queries, deep, own.grad_keys, deep,
                     true);
      simd::multiply(count, deep, n, Matrix<T>{own.grad_weights, wide, 1}, own.key_rows, deep, own.grad_queries, deep,
                     false);
      unpack(own.grad_queries, deep, scales, first, count, p.depth, to);
    }
    const Grid<T> to_key = p.grid(grad_key, task), to_value = p.grid(grad_value, task);
    for (int tile = 0; tile < p.tiles(); ++tile) {
      const int first = p.first(tile), count = p.first(tile + 1) - first;
      unpack(own.grad_keys + static_cast<std::size_t>(first) * deep, deep, scales, first, count, p.depth, to_key);
      unpack(own.grad_values + static_cast<std::size_t>(first) * pixel, pixel, ones, first, count, p.channels, to_value);
    }
  }

  // One query: numerators and the gradient of its weights in; weights, gradient of its scores and, in `position`, of
  // its biases out.
  void scores_gradient(const Weights<T>& weights, std::ptrdiff_t at, T factor, T position_factor,
                       const Reverse<T>& own, T* grad_gate) const {
    T* const content = weights.content + at;
    T* const position = weights.position + at;
    T* const grad_row = own.grad_weights + at;
    const int wide = weights.wide;
    const T share = weights.share, along = factor * dot(content, grad_row, wide);
    if (!gated) {
      for (int i = 0; i < wide; i += kLanes<T>) {
        const Vec<T> weight = factor * load(content + i);
        store(content + i, weight);
        store(grad_row + i, weight * (load(grad_row + i) - along));
      }
      return;
    }
    const T position_along = position_factor * dot(position, grad_row, wide);
    *grad_gate += position_along - along;
    for (int i = 0; i < wide; i += kLanes<T>) {
      const Vec<T> from_content = (1 - share) * factor * load(content + i);
      const Vec<T> from_position = share * position_factor * load(position + i);
      const Vec<T> g = load(grad_row + i);
      store(content + i, from_content + from_position);
      store(position + i, from_position * (g - position_along));
      store(grad_row + i, from_content * (g - along));
    }
  }
};

// Sums what the tasks left, always in the order of the tasks.
template <typename T>
void reduce(const Problem& p, const T* tables, const T* gates, const Array<T>& grad_table,
            const std::optional<Array<T>>& grad_gate) {
  const int across = 2 * p.width - 1;
  const Buffer<T> total(p.offsets());
  for (int head = 0; head < p.heads; ++head) {
    std::fill(total.data(), total.data() + p.offsets(), T(0));
    T gate = 0;
    for (int task = head; task < p.tasks(); task += p.heads) {
      const T* const table = tables + static_cast<std::size_t>(task) * p.offsets();
      for (int i = 0; i < p.offsets(); ++i) total.data()[i] += table[i];
      gate += gates[task];
    }
    for (int i = 0; i < p.offsets(); ++i) {
      grad_table.data()[head * grad_table.stride(0) + i / across * grad_table.stride(1) +
                        i % across * grad_table.stride(2)] = total.data()[i];
    }
    if (grad_gate) grad_gate->data()[head * grad_gate->stride(0)] = gate;
  }
}

template <typename T>
void backward(const Array<T>& grad, const Array<T>& query, const Array<T>& key, const Array<T>& value,
              const Array<T>& table, const std::optional<Array<T>>& gate, const Array<T>& grad_query,
              const Array<T>& grad_key, const Array<T>& grad_value, const Array<T>& grad_table,
              const std::optional<Array<T>>& grad_gate, double scale, int threads) {
  const Problem p(query, value);
  const bool gated = gate.has_value();
  const Tables<T> tables(p, table);
  const std::size_t room = padded<T>(Reverse<T>::size(p, gated));
  const Buffer<T> scratch(room * threads), partial(static_cast<std::size_t>(p.tasks()) * p.offsets());
  const Buffer<T> gates(p.tasks());
  const Backward<T> run{p,        query,      key, value, grad, grad_query, grad_key, grad_value, static_cast<T>(scale),
                        gated};
  parallel::run(p.tasks(), threads, [&](int task, int thread) {
    run(task, tables.of(task), share_of(gate, p.head(task)), scratch.data() + room * thread,
        partial.data() + static_cast<std::size_t>(task) * p.offsets(), gates.data() + task);
  });
  reduce(p, partial.data(), gates.data(), grad_table, grad_gate);
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("biased_attention_forward", &forward<T>, "query"_a.noconvert(), "key"_a.noconvert(), "value"_a.noconvert(),
        "table"_a.noconvert(), "gate"_a.noconvert().none(), "out"_a.noconvert(), "scale"_a, "threads"_a, release);
  m.def("biased_attention_backward", &backward<T>, "grad"_a.noconvert(), "query"_a.noconvert(), "key"_a.noconvert(),
        "value"_a.noconvert(), "table"_a.noconvert(), "gate"_a.noconvert().none(), "grad_query"_a.noconvert(),
        "grad_key"_a.noconvert(), "grad_value"_a.noconvert(), "grad_table"_a.noconvert(),
        "grad_gate"_a.noconvert().none(), "scale"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
