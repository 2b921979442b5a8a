// Local block attention, forward and backward. A task is one group of one image, or a band of its blocks: the map of its
// keys and values is packed once, with a border of zeros as wide as the halo, and every window is then read in place.
#include "block_attention.h"
#include "native.h"
#include "parallel.h"

namespace {

using block_attention::Rows;
using neighborhood::Plane;
using simd::Buffer;
using simd::padded;

template <typename T>
Plane<T> plane(const native::Array<T>& tensor, int batch, int group) {
  return {tensor.data() + batch * tensor.stride(0) + group * tensor.stride(1), tensor.stride(2), tensor.stride(3),
          tensor.stride(4)};
}

// The sizes of a problem. `entries` of a position table are used, from `first` on, one for each distance in a window.
struct Problem {
  int batch, groups, height, width, block, halo, side, down, across, queries, stride, depth, values, first, entries;

  template <typename T>
  Problem(const native::Array<T>& query, const native::Array<T>& key, const native::Array<T>& value, int block, int halo)
      : batch(key.shape(0)), groups(key.shape(1)), height(key.shape(2)), width(key.shape(3)), block(block), halo(halo),
        side(block + 2 * halo), down(height / block), across(width / block),
        queries(down ? static_cast<int>(query.shape(2)) / down : 0), stride(queries ? block / queries : 1),
        depth(key.shape(4)), values(value.shape(4)), first(side - queries), entries(side + queries - 1) {}

  int maps() const { return batch * groups; }
  int keys() const { return side * side; }
  int count() const { return queries * queries; }
  int row() const { return width + 2 * halo; }
};

// A band of a map with its border, packed: rows (count * block + 2 halo, width + 2 halo, padded channels).
template <typename T>
std::size_t band_room(const Problem& p, int blocks, int channels) {
  return static_cast<std::size_t>(blocks * p.block + 2 * p.halo) * p.row() * padded<T>(channels);
}

template <typename T>
void pack(const Problem& p, Plane<T> from, int first, int last, int channels, T factor, T* out) {
  const int pixel = padded<T>(channels);
  std::fill(out, out + band_room<T>(p, last - first, channels), T(0));
  const int start = first * p.block - p.halo;
  for (int y = std::max(start, 0); y < std::min(last * p.block + p.halo, p.height); ++y) {
    for (int x = 0; x < p.width; ++x) {
      const T* in = from.at(y, x);
      T* to = out + (static_cast<std::ptrdiff_t>(y - start) * p.row() + x + p.halo) * pixel;
      for (int c = 0; c < channels; ++c) to[c] = factor * in[c * from.channel];
    }
  }
}

template <typename T>
void unpack(const Problem& p, const T* from, int channels, T factor, Plane<T> to) {
  const int pixel = padded<T>(channels);
  for (int y = 0; y < p.height; ++y) {
    for (int x = 0; x < p.width; ++x) {
      const T* in = from + (static_cast<std::ptrdiff_t>(y + p.halo) * p.row() + x + p.halo) * pixel;
      for (int c = 0; c < channels; ++c) to.at(y, x)[c * to.channel] = factor * in[c];
    }
  }
}

// The window of the block at (y, x) in a packed band that begins at block 0 of the band.
template <typename T>
Rows<T> window(const Problem& p, T* band, int y, int x, int channels) {
  const int pixel = padded<std::remove_const_t<T>>(channels);
  return {band + (static_cast<std::ptrdiff_t>(y) * p.block * p.row() + x * p.block) * pixel, p.row() * pixel, pixel,
          p.side, p.side};
}

// The queries of a block as columns (depth, wide).
template <typename T>
void columns_of(const Problem& p, Plane<T> from, int y, int x, int channels, T* out, int wide) {
  for (int i = 0; i < p.queries; ++i) {
    block_attention::transpose<T>(from.at(y * p.queries + i, x * p.queries), from.column, from.channel, p.queries,
                                  channels, out + i * p.queries, wide);
  }
}

// The queries of a block as rows (count, padded channels).
template <typename T>
void rows_of(const Problem& p, Plane<T> from, int y, int x, int channels, T* out) {
  const int pixel = padded<T>(channels);
  for (int q = 0; q < p.count(); ++q) {
    const T* in = from.at(y * p.queries + q / p.queries, x * p.queries + q % p.queries);
    neighborhood::copy<T>(in, from.channel, out + q * pixel, 1, channels);
  }
}

// Both position tables, packed (2 side - 1, padded depth); empty where the operator has none.
template <typename T>
struct Tables {
  Buffer<T> rows, columns;
  int pixel;
  bool given;

  Tables(const Problem& p, const std::optional<native::Array<T>>& row_table,
         const std::optional<native::Array<T>>& column_table)
      : rows(row_table ? (2 * p.side - 1) * padded<T>(p.depth) : 0),
        columns(row_table ? (2 * p.side - 1) * padded<T>(p.depth) : 0), pixel(padded<T>(p.depth)),
        given(row_table && column_table) {
    if (!given) return;
    const auto copy = [&](const native::Array<T>& from, T* to) {
      for (int t = 0; t < 2 * p.side - 1; ++t) {
        neighborhood::copy<T>(from.data() + t * from.stride(0), from.stride(1), to + t * pixel, 1, p.depth);
      }
    };
    copy(*row_table, rows.data());
    copy(*column_table, columns.data());
  }
};

// Scratch of one thread for the position scores of a block.
template <typename T>
struct Positions {
  Buffer<T> table, rows, columns;  // (entries, wide), and (side, wide) for either axis
  const Problem& p;
  int wide;

  Positions(const Problem& p, int wide)
      : table(p.entries * wide), rows(p.side * wide), columns(p.side * wide), p(p), wide(wide) {}

  // The entry for place `at` in the window and query `q`: distances grow with `at` and fall with the query's place.
  int row_entry(int at, int q) const { return (at - q / p.queries + p.queries - 1) * wide + q; }
  int column_entry(int at, int q) const { return (at - q % p.queries + p.queries - 1) * wide + q; }

  // scores (keys, wide) := the position scores of queries (depth, wide).
  void score(const Tables<T>& tables, const T* queries, T* scores) {
    if (!tables.given) {
      std::fill(scores, scores + static_cast<std::ptrdiff_t>(p.keys()) * wide, T(0));
      return;
    }
    const auto axis = [&](const T* entries, T* out, auto entry) {
      simd::multiply<T>(p.entries, wide, p.depth, {entries + p.first * tables.pixel, tables.pixel, 1}, queries, wide,
                        table.data(), wide, false);
      for (int at = 0; at < p.side; ++at) {
        for (int q = 0; q < p.count(); ++q) out[at * wide + q] = table.data()[entry(at, q)];
      }
    };
    axis(tables.rows.data(), rows.data(), [&](int at, int q) { return row_entry(at, q); });
    axis(tables.columns.data(), columns.data(), [&](int at, int q) { return column_entry(at, q); });
    for (int k = 0; k < p.keys(); ++k) {
      const T *row = rows.data() + k / p.side * wide, *column = columns.data() + k % p.side * wide;
      for (int q = 0; q < wide; ++q) scores[static_cast<std::ptrdiff_t>(k) * wide + q] = row[q] + column[q];
    }
  }

  // From the gradient of the scores (keys, wide): += those of the queries (count, pixel) and of the tables.
  void backward(const Tables<T>& tables, const T* grad, const T* query_rows, T* grad_query, T* grad_rows,
                T* grad_columns) {
    std::fill(rows.data(), rows.data() + p.side * wide, T(0));
    std::fill(columns.data(), columns.data() + p.side * wide, T(0));
    for (int k = 0; k < p.keys(); ++k) {
      T *row = rows.data() + k / p.side * wide, *column = columns.data() + k % p.side * wide;
      const T* from = grad + static_cast<std::ptrdiff_t>(k) * wide;
      for (int q = 0; q < wide; ++q) row[q] += from[q], column[q] += from[q];
    }
    const auto axis = [&](const T* entries, const T* sums, T* grad_entries, auto entry) {
      std::fill(table.data(), table.data() + p.entries * wide, T(0));
      for (int at = 0; at < p.side; ++at) {
        for (int q = 0; q < p.count(); ++q) table.data()[entry(at, q)] = sums[at * wide + q];
      }
      const int pixel = tables.pixel;
      simd::multiply<T>(p.count(), pixel, p.entries, {table.data(), 1, wide}, entries + p.first * pixel, pixel,
                        grad_query, pixel, true);
      simd::multiply<T>(p.entries, pixel, p.count(), {table.data(), wide, 1}, query_rows, pixel,
                        grad_entries + p.first * pixel, pixel, true);
    };
    axis(tables.rows.data(), rows.data(), grad_rows, [&](int at, int q) { return row_entry(at, q); });
    axis(tables.columns.data(), columns.data(), grad_columns, [&](int at, int q) { return column_entry(at, q); });
  }
};

template <typename T>
using Table = std::optional<native::Array<T>>;

template <typename T>
void forward(const native::Array<T>& query, const native::Array<T>& key, const native::Array<T>& value,
             const Table<T>& row_table, const Table<T>& column_table, const native::Array<T>& out,
             const native::Array<T>& logarithm, int block, int halo, double scale, int threads) {
  const Problem p(query, key, value, block, halo);
  const int wide = padded<T>(p.count()), columns = padded<T>(p.values);
  const int bands = p.maps() == 0 ? 1 : std::max(1, std::min((2 * threads + p.maps() - 1) / p.maps(), p.down));
  const int most = (p.down + bands - 1) / bands;
  const Tables<T> tables(p, row_table, column_table);
  parallel::run(p.maps() * bands, threads, [&](int task, int) {
    const int map = task / bands, batch = map / p.groups, group = map % p.groups;
    const int first = p.down * (task % bands) / bands, last = p.down * (task % bands + 1) / bands;
    const Buffer<T> keys(band_room<T>(p, most, p.depth)), values(band_room<T>(p, most, p.values));
    const Buffer<T> q(p.depth * wide), scores(static_cast<std::size_t>(p.keys()) * wide), sums(2 * wide),
        result(p.count() * columns);
    Positions<T> positions(p, wide);
    pack(p, plane(key, batch, group), first, last, p.depth, static_cast<T>(scale), keys.data());
    pack(p, plane(value, batch, group), first, last, p.values, T(1), values.data());
    const Plane<T> from = plane(query, batch, group), to = plane(out, batch, group);
    T* const logs = logarithm.data() + (batch * logarithm.stride(0) + group * logarithm.stride(1));
    for (int y = first; y < last; ++y) {
      for (int x = 0; x < p.across; ++x) {
        columns_of(p, from, y, x, p.depth, q.data(), wide);
        positions.score(tables, q.data(), scores.data());
        block_attention::score<T>(window<const T>(p, keys.data(), y - first, x, p.depth), p.depth, q.data(), wide,
                                  scores.data(), true);
        block_attention::exponentials(scores.data(), p.keys(), wide, sums.data(), sums.data() + wide);
        block_attention::gather<T>(scores.data(), wide, p.count(),
                                   window<const T>(p, values.data(), y - first, x, p.values), columns, result.data(),
                                   false);
        for (int i = 0; i < p.count(); ++i) {
          const int row = y * p.queries + i / p.queries, column = x * p.queries + i % p.queries;
          const T inverse = T(1) / sums.data()[i];
          T* const at = to.at(row, column);
          for (int c = 0; c < p.values; ++c) at[c * to.channel] = inverse * result.data()[i * columns + c];
          logs[row * logarithm.stride(2) + column * logarithm.stride(3)] = sums.data()[wide + i];
        }
      }
    }
  });
}

// grad_rows and grad_columns are (B * G, 2 side - 1, D): each task's own share.
template <typename T>
void backward(const native::Array<T>& grad, const native::Array<T>& logarithm, const native::Array<T>& query,
              const native::Array<T>& key, const native::Array<T>& value, const Table<T>& row_table,
              const Table<T>& column_table, const native::Array<T>& grad_query, const native::Array<T>& grad_key,
              const native::Array<T>& grad_value, const Table<T>& grad_row_table, const Table<T>& grad_column_table,
              int block, int halo, double scale, int threads) {
  const Problem p(query, key, value, block, halo);
  const int wide = padded<T>(p.count()), columns = padded<T>(p.values), pixel = padded<T>(p.depth);
  const Tables<T> tables(p, row_table, column_table);
  parallel::run(p.maps(), threads, [&](int task, int) {
    const int batch = task / p.groups, group = task % p.groups, entries = (2 * p.side - 1) * pixel;
    const Buffer<T> keys(band_room<T>(p, p.down, p.depth)), values(band_room<T>(p, p.down, p.values));
    const Buffer<T> grad_keys(band_room<T>(p, p.down, p.depth)), grad_values(band_room<T>(p, p.down, p.values));
    const std::size_t room = static_cast<std::size_t>(p.keys()) * wide;
    const Buffer<T> scores(room), grad_scores(room), q(p.depth * wide), g(p.values * wide), q_rows(p.count() * pixel),
        g_rows(p.count() * columns), result(p.count() * pixel), logs(wide), table_grads(2 * entries);
    Positions<T> positions(p, wide);
    pack(p, plane(key, batch, group), 0, p.down, p.depth, static_cast<T>(scale), keys.data());
    pack(p, plane(value, batch, group), 0, p.down, p.values, T(1), values.data());
    const Plane<T> from = plane(query, batch, group), flow = plane(grad, batch, group);
    const Plane<T> to = plane(grad_query, batch, group);
    const T* const all_logs = logarithm.data() + (batch * logarithm.stride(0) + group * logarithm.stride(1));
    for (int y = 0; y < p.down; ++y) {
      for (int x = 0; x < p.across; ++x) {
        columns_of(p, from, y, x, p.depth, q.data(), wide);
        columns_of(p, flow, y, x, p.values, g.data(), wide);
        rows_of(p, from, y, x, p.depth, q_rows.data());
        rows_of(p, flow, y, x, p.values, g_rows.data());
        for (int i = 0; i < p.count(); ++i) {
          const int row = y * p.queries + i / p.queries, column = x * p.queries + i % p.queries;
          logs.data()[i] = all_logs[row * logarithm.stride(2) + column * logarithm.stride(3)];
        }
        const Rows<const T> k = window<const T>(p, keys.data(), y, x, p.depth);
        const Rows<const T> v = window<const T>(p, values.data(), y, x, p.values);
        positions.score(tables, q.data(), scores.data());
        block_attention::score<T>(k, p.depth, q.data(), wide, scores.data(), true);
        block_attention::score<T>(v, p.values, g.data(), wide, grad_scores.data(), false);
        block_attention::softmax_backward(scores.data(), grad_scores.data(), p.keys(), wide, logs.data());
        block_attention::scatter<T>(scores.data(), wide, p.count(), g_rows.data(), columns,
                                    window<T>(p, grad_values.data(), y, x, p.values));
        block_attention::scatter<T>(grad_scores.data(), wide, p.count(), q_rows.data(), pixel,
                                    window<T>(p, grad_keys.data(), y, x, p.depth));
        block_attention::gather<T>(grad_scores.data(), wide, p.count(), k, pixel, result.data(), false);
        if (tables.given) {
          positions.backward(tables, grad_scores.data(), q_rows.data(), result.data(), table_grads.data(),
                             table_grads.data() + entries);
        }
        for (int i = 0; i < p.count(); ++i) {
          T* const at = to.at(y * p.queries + i / p.queries, x * p.queries + i % p.queries);
          neighborhood::copy<T>(result.data() + i * pixel, 1, at, to.channel, p.depth);
        }
      }
    }
    unpack(p, grad_keys.data(), p.depth, static_cast<T>(scale), plane(grad_key, batch, group));
    unpack(p, grad_values.data(), p.values, T(1), plane(grad_value, batch, group));
    const auto write = [&](const Table<T>& table, const T* own) {
      for (int t = 0; table && t < 2 * p.side - 1; ++t) {
        neighborhood::copy<T>(own + t * pixel, 1, table->data() + task * table->stride(0) + t * table->stride(1),
                              table->stride(2), p.depth);
      }
    };
    write(grad_row_table, table_grads.data());
    write(grad_column_table, table_grads.data() + entries);
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("local_block_attention_forward", &forward<T>, "query"_a.noconvert(), "key"_a.noconvert(),
        "value"_a.noconvert(), "row_table"_a.noconvert().none(), "column_table"_a.noconvert().none(),
        "out"_a.noconvert(), "logarithm"_a.noconvert(), "block_size"_a, "halo_size"_a, "scale"_a, "threads"_a, release);
  m.def("local_block_attention_backward", &backward<T>, "grad"_a.noconvert(), "logarithm"_a.noconvert(),
        "query"_a.noconvert(), "key"_a.noconvert(), "value"_a.noconvert(), "row_table"_a.noconvert().none(),
        "column_table"_a.noconvert().none(), "grad_query"_a.noconvert(), "grad_key"_a.noconvert(),
        "grad_value"_a.noconvert(), "grad_row_table"_a.noconvert().none(), "grad_column_table"_a.noconvert().none(),
        "block_size"_a, "halo_size"_a, "scale"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
