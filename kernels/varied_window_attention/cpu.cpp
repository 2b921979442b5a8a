// Varied-size window attention, forward and backward. The keys and values of a window are interpolated into scratch, a
// few vectors each, and attended to there; no sampled map is ever written. A forward task is a row of windows, a
// backward task one group of one image, whose windows add to the same gradients.
#include "block_attention.h"
#include "native.h"
#include "parallel.h"

namespace {

using block_attention::Rows;
using neighborhood::Plane;
using simd::Buffer;
using simd::kLanes;
using simd::load;
using simd::padded;
using simd::store;
using simd::Vec;

template <typename T>
Plane<T> plane(const native::Array<T>& tensor, int batch, int group) {
  return {tensor.data() + batch * tensor.stride(0) + group * tensor.stride(1), tensor.stride(2), tensor.stride(3),
          tensor.stride(4)};
}

// The sizes of a problem; `depth` and `values` are those of keys and values, padded to whole vectors by the caller.
struct Problem {
  int batch, groups, height, width, window, depth, values, down, across, wide;

  template <typename T>
  Problem(const native::Array<T>& query, const native::Array<T>& value, int window)
      : batch(query.shape(0)), groups(query.shape(1)), height(query.shape(2)), width(query.shape(3)), window(window),
        depth(query.shape(4)), values(value.shape(4)), down((height + window - 1) / window),
        across((width + window - 1) / window), wide(padded<T>(window * window)) {}

  int maps() const { return batch * groups; }
  int count() const { return window * window; }
};

// One coordinate of a key: the position before it, how far it lies beyond that, and which of the two are on the map.
template <typename T>
struct Place {
  int at[2];     // clamped to the map
  T weight[2];   // 0 off the map
  T slope[2];    // of the weights, by the coordinate

  void set(T coordinate, int length) {
    const T low = std::floor(std::min(std::max(coordinate, T(-2)), T(length + 1)));
    const T beyond = coordinate - low;
    const int first = static_cast<int>(low);
    for (int i = 0; i < 2; ++i) {
      const bool inside = first + i >= 0 && first + i < length;
      at[i] = inside ? first + i : 0;
      weight[i] = inside ? (i ? beyond : T(1) - beyond) : T(0);
      slope[i] = inside ? (i ? T(1) : T(-1)) : T(0);
    }
  }
};

// The places of a window's keys along both axes.
template <typename T>
struct Window {
  std::vector<Place<T>> rows, columns;

  Window(int window) : rows(window), columns(window) {}

  void set(const Problem& p, const native::Array<T>& offset, const native::Array<T>& stretch, int batch, int group,
           int y, int x) {
    const auto value = [&](const native::Array<T>& from, int axis) {
      return from.data()[batch * from.stride(0) + group * from.stride(1) + axis * from.stride(2) + y * from.stride(3) +
                         x * from.stride(4)];
    };
    const T middle = T(p.window - 1) / 2;
    for (int i = 0; i < p.window; ++i) {
      rows[i].set(p.window * y + middle + value(offset, 1) + value(stretch, 1) * (i - middle), p.height);
      columns[i].set(p.window * x + middle + value(offset, 0) + value(stretch, 0) * (i - middle), p.width);
    }
  }
};

// out (count, channels) = factor times the map at the keys.
template <typename T>
void sample(const Window<T>& window, Plane<T> from, int channels, T factor, T* out) {
  for (const Place<T>& row : window.rows) {
    for (const Place<T>& column : window.columns) {
      const T* taps[4];
      T weights[4];
      for (int i = 0; i < 4; ++i) {
        taps[i] = from.at(row.at[i / 2], column.at[i % 2]);
        weights[i] = factor * row.weight[i / 2] * column.weight[i % 2];
      }
      for (int c = 0; c < channels; c += kLanes<T>) {
        store(out + c, weights[0] * load(taps[0] + c) + weights[1] * load(taps[1] + c) + weights[2] * load(taps[2] + c) +
                           weights[3] * load(taps[3] + c));
      }
      out += channels;
    }
  }
}

// Adds the gradient (count, channels) of the samples to the map's; and to `rows` and `columns` (window) that of each
// key's coordinates.
template <typename T>
void sample_backward(const Window<T>& window, Plane<T> from, int channels, T factor, const T* grad, Plane<T> to, T* rows,
                     T* columns) {
  for (std::size_t r = 0; r < window.rows.size(); ++r) {
    for (std::size_t s = 0; s < window.columns.size(); ++s, grad += channels) {
      const Place<T>&row = window.rows[r], &column = window.columns[s];
      T products[4];
      for (int i = 0; i < 4; ++i) {
        const T weight = factor * row.weight[i / 2] * column.weight[i % 2];
        const T* tap = from.at(row.at[i / 2], column.at[i % 2]);
        T* const target = to.at(row.at[i / 2], column.at[i % 2]);
        Vec<T> product = {};
        for (int c = 0; c < channels; c += kLanes<T>) {
          const Vec<T> g = load(grad + c);
          product += g * load(tap + c);
          store(target + c, load(target + c) + weight * g);
        }
        products[i] = factor * simd::sum<T>(product);
      }
      for (int i = 0; i < 4; ++i) {
        rows[r] += products[i] * row.slope[i / 2] * column.weight[i % 2];
        columns[s] += products[i] * row.weight[i / 2] * column.slope[i % 2];
      }
    }
  }
}

// Calls f(query, row, column) for the queries of a window that lie on the map.
template <typename F>
void for_queries(const Problem& p, int y, int x, F&& f) {
  for (int i = 0; i < p.window && y * p.window + i < p.height; ++i) {
    for (int j = 0; j < p.window && x * p.window + j < p.width; ++j) {
      f(i * p.window + j, y * p.window + i, x * p.window + j);
    }
  }
}

// The transpose of a group's bias, (keys, wide), zero where the operator has none.
template <typename T>
void transposed_bias(const Problem& p, const std::optional<native::Array<T>>& bias, int group, T* out) {
  if (!bias) return;
  for (int k = 0; k < p.count(); ++k) {
    for (int q = 0; q < p.count(); ++q) {
      out[k * p.wide + q] = bias->data()[group * bias->stride(0) + q * bias->stride(1) + k * bias->stride(2)];
    }
  }
}

template <typename T>
Rows<const T> packed(const T* rows, int count, int channels) {
  return {rows, 0, channels, 1, count};
}

template <typename T>
void forward(const native::Array<T>& query, const native::Array<T>& key, const native::Array<T>& value,
             const native::Array<T>& offset, const native::Array<T>& stretch,
             const std::optional<native::Array<T>>& bias, const native::Array<T>& out,
             const native::Array<T>& logarithm, int window, double scale, int threads) {
  const Problem p(query, value, window);
  const std::size_t table = static_cast<std::size_t>(p.count()) * p.wide;
  const Buffer<T> biases(p.groups * table);
  for (int group = 0; group < p.groups; ++group) transposed_bias(p, bias, group, biases.data() + group * table);
  parallel::run(p.maps() * p.down, threads, [&](int task, int) {
    const int y = task % p.down, batch = task / p.down / p.groups, group = task / p.down % p.groups;
    const Plane<T> from = plane(query, batch, group), to = plane(out, batch, group);
    const Plane<T> all_keys = plane(key, batch, group), all_values = plane(value, batch, group);
    T* const logs = logarithm.data() + (batch * logarithm.stride(0) + group * logarithm.stride(1));
    const Buffer<T> keys(p.count() * p.depth), values(p.count() * p.values), q(p.depth * p.wide), scores(table),
        sums(2 * p.wide), result(p.count() * p.values);
    Window<T> places(p.window);
    for (int x = 0; x < p.across; ++x) {
      places.set(p, offset, stretch, batch, group, y, x);
      sample(places, all_keys, p.depth, static_cast<T>(scale), keys.data());
      sample(places, all_values, p.values, T(1), values.data());
      for_queries(p, y, x, [&](int at, int row, int column) {
        for (int c = 0; c < p.depth; ++c) q.data()[c * p.wide + at] = from.at(row, column)[c];
      });
      std::memcpy(scores.data(), biases.data() + group * table, table * sizeof(T));
      block_attention::score<T>(packed(keys.data(), p.count(), p.depth), p.depth, q.data(), p.wide, scores.data(), true);
      block_attention::exponentials(scores.data(), p.count(), p.wide, sums.data(), sums.data() + p.wide);
      block_attention::gather<T>(scores.data(), p.wide, p.count(), packed(values.data(), p.count(), p.values), p.values,
                                 result.data(), false);
      for_queries(p, y, x, [&](int at, int row, int column) {
        const T inverse = T(1) / sums.data()[at];
        T* const target = to.at(row, column);
        for (int c = 0; c < p.values; ++c) target[c] = inverse * result.data()[at * p.values + c];
        logs[row * logarithm.stride(2) + column * logarithm.stride(3)] = sums.data()[p.wide + at];
      });
    }
  });
}

// grad_key and grad_value are zero on entry; grad_bias is (B, G, count, count), each task's own share.
template <typename T>
void backward(const native::Array<T>& grad, const native::Array<T>& logarithm, const native::Array<T>& query,
              const native::Array<T>& key, const native::Array<T>& value, const native::Array<T>& offset,
              const native::Array<T>& stretch, const std::optional<native::Array<T>>& bias,
              const native::Array<T>& grad_query, const native::Array<T>& grad_key, const native::Array<T>& grad_value,
              const native::Array<T>& grad_offset, const native::Array<T>& grad_stretch,
              const std::optional<native::Array<T>>& grad_bias, int window, double scale, int threads) {
  const Problem p(query, value, window);
  const std::size_t table = static_cast<std::size_t>(p.count()) * p.wide;
  const T factor = static_cast<T>(scale), middle = T(p.window - 1) / 2;
  parallel::run(p.maps(), threads, [&](int task, int) {
    const int batch = task / p.groups, group = task % p.groups;
    const Plane<T> from = plane(query, batch, group), flow = plane(grad, batch, group);
    const Plane<T> to = plane(grad_query, batch, group);
    const Plane<T> all_keys = plane(key, batch, group), all_values = plane(value, batch, group);
    const T* const logs = logarithm.data() + (batch * logarithm.stride(0) + group * logarithm.stride(1));
    const Buffer<T> biases(table), bias_grads(table), scores(table), grad_scores(table);
    const Buffer<T> keys(p.count() * p.depth), values(p.count() * p.values), grad_keys(p.count() * p.depth),
        grad_values(p.count() * p.values), q(p.depth * p.wide), g(p.values * p.wide), q_rows(p.count() * p.depth),
        g_rows(p.count() * p.values), result(p.count() * p.depth), log(p.wide), coordinates(2 * p.window);
    Window<T> places(p.window);
    transposed_bias(p, bias, group, biases.data());
    for (int y = 0; y < p.down; ++y) {
      for (int x = 0; x < p.across; ++x) {
        places.set(p, offset, stretch, batch, group, y, x);
        sample(places, all_keys, p.depth, factor, keys.data());
        sample(places, all_values, p.values, T(1), values.data());
        // Queries beyond the map have no gradient and, by an infinite sum, no weights.
        std::fill(log.data(), log.data() + p.wide, T(1e30));
        for (const Buffer<T>* each : {&q, &q_rows}) std::fill(each->data(), each->data() + p.depth * p.count(), T(0));
        std::fill(q.data(), q.data() + p.depth * p.wide, T(0));
        std::fill(g.data(), g.data() + p.values * p.wide, T(0));
        std::fill(g_rows.data(), g_rows.data() + p.count() * p.values, T(0));
        for_queries(p, y, x, [&](int at, int row, int column) {
          for (int c = 0; c < p.depth; ++c) {
            q.data()[c * p.wide + at] = q_rows.data()[at * p.depth + c] = from.at(row, column)[c];
          }
          for (int c = 0; c < p.values; ++c) {
            g.data()[c * p.wide + at] = g_rows.data()[at * p.values + c] = flow.at(row, column)[c];
          }
          log.data()[at] = logs[row * logarithm.stride(2) + column * logarithm.stride(3)];
        });
        std::memcpy(scores.data(), biases.data(), table * sizeof(T));
        const Rows<const T> k = packed<T>(keys.data(), p.count(), p.depth);
        const Rows<const T> v = packed<T>(values.data(), p.count(), p.values);
        block_attention::score<T>(k, p.depth, q.data(), p.wide, scores.data(), true);
        block_attention::score<T>(v, p.values, g.data(), p.wide, grad_scores.data(), false);
        block_attention::softmax_backward(scores.data(), grad_scores.data(), p.count(), p.wide, log.data());
        block_attention::gather<T>(grad_scores.data(), p.wide, p.count(), k, p.depth, result.data(), false);
        for_queries(p, y, x, [&](int at, int row, int column) {
          for (int c = 0; c < p.depth; ++c) to.at(row, column)[c] = result.data()[at * p.depth + c];
        });
        std::fill(grad_keys.data(), grad_keys.data() + p.count() * p.depth, T(0));
        std::fill(grad_values.data(), grad_values.data() + p.count() * p.values, T(0));
        block_attention::scatter<T>(grad_scores.data(), p.wide, p.count(), q_rows.data(), p.depth,
                                    {grad_keys.data(), 0, p.depth, 1, p.count()});
        block_attention::scatter<T>(scores.data(), p.wide, p.count(), g_rows.data(), p.values,
                                    {grad_values.data(), 0, p.values, 1, p.count()});
        T *const rows = coordinates.data(), *const columns = rows + p.window;
        std::fill(rows, columns + p.window, T(0));
        sample_backward(places, all_keys, p.depth, factor, grad_keys.data(), plane(grad_key, batch, group), rows,
                        columns);
        sample_backward(places, all_values, p.values, T(1), grad_values.data(), plane(grad_value, batch, group), rows,
                        columns);
        const auto write = [&](const native::Array<T>& target, int axis, T total) {
          target.data()[batch * target.stride(0) + group * target.stride(1) + axis * target.stride(2) +
                        y * target.stride(3) + x * target.stride(4)] = total;
        };
        for (int axis = 0; axis < 2; ++axis) {
          T shift = 0, size = 0;
          for (int i = 0; i < p.window; ++i) {
            const T each = axis ? rows[i] : columns[i];
            shift += each, size += each * (i - middle);
          }
          write(grad_offset, axis, shift), write(grad_stretch, axis, size);
        }
        for (std::size_t i = 0; grad_bias && i < table; ++i) bias_grads.data()[i] += grad_scores.data()[i];
      }
    }
    for (int q_at = 0; grad_bias && q_at < p.count(); ++q_at) {
      for (int k_at = 0; k_at < p.count(); ++k_at) {
        grad_bias->data()[batch * grad_bias->stride(0) + group * grad_bias->stride(1) + q_at * grad_bias->stride(2) +
                          k_at * grad_bias->stride(3)] = bias_grads.data()[k_at * p.wide + q_at];
      }
    }
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("varied_window_attention_forward", &forward<T>, "query"_a.noconvert(), "key"_a.noconvert(),
        "value"_a.noconvert(), "offset"_a.noconvert(), "stretch"_a.noconvert(), "bias"_a.noconvert().none(),
        "out"_a.noconvert(), "logarithm"_a.noconvert(), "window_size"_a, "scale"_a, "threads"_a, release);
  m.def("varied_window_attention_backward", &backward<T>, "grad"_a.noconvert(), "logarithm"_a.noconvert(),
        "query"_a.noconvert(), "key"_a.noconvert(), "value"_a.noconvert(), "offset"_a.noconvert(),
        "stretch"_a.noconvert(), "bias"_a.noconvert().none(), "grad_query"_a.noconvert(), "grad_key"_a.noconvert(),
        "grad_value"_a.noconvert(), "grad_offset"_a.noconvert(), "grad_stretch"_a.noconvert(),
        "grad_bias"_a.noconvert().none(), "window_size"_a, "scale"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
