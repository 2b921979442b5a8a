// The neighbourhood rule and the inner loops of every operator that gathers from, scatters to or correlates with the
// window of each position. A map here is one group of one image, packed: (height, width, padded channels).
// A dilated neighbourhood is dilation^2 separate undilated ones, one for each residue class of rows and of columns, so
// the loops know no dilation.
#pragma once

#include <vector>

#include "simd.h"

namespace neighborhood {

using simd::kLanes;
using simd::load;
using simd::padded;
using simd::store;
using simd::Vec;

// Rows and columns of a window, or the dilation along them; one number stands for both.
struct Extent {
  int rows, columns;

  Extent(int both) : rows(both), columns(both) {}
  Extent(int rows, int columns) : rows(rows), columns(columns) {}
  int count() const { return rows * columns; }
};

// First position of the window of `position`: centred, shifted inwards at the border.
inline int window_start(int position, int length, int kernel) {
  return std::min(std::max(position - kernel / 2, 0), length - kernel);
}

// How many of `length` positions are congruent to `residue` modulo `dilation`.
inline int members(int length, int residue, int dilation) { return (length - residue + dilation - 1) / dilation; }

// One group of one image inside a tensor of any strides.
template <typename T>
struct Plane {
  T* data;
  std::ptrdiff_t row, column, channel;

  T* at(int y, int x) const { return data + y * row + x * column; }
  // The rows and columns of one residue class.
  Plane residue(int y, int x, const Extent& dilation) const {
    return {at(y, x), row * dilation.rows, column * dilation.columns, channel};
  }
};

template <typename T>
inline void copy(const T* from, std::ptrdiff_t from_step, T* to, std::ptrdiff_t to_step, int count) {
  if (from_step == 1 && to_step == 1) {
    for (int i = 0; i < count; ++i) to[i] = from[i];
  } else {
    for (int i = 0; i < count; ++i) to[i * to_step] = from[i * from_step];
  }
}

// Rows [first, last) of the plane into `out` (height, width, padded channels), at their own places.
template <typename T>
inline void pack(Plane<const T> from, int first, int last, int width, int channels, T* out) {
  const int pixel = padded<T>(channels);
  for (int y = first; y < last; ++y) {
    for (int x = 0; x < width; ++x) {
      copy(from.at(y, x), from.channel, out + (static_cast<std::ptrdiff_t>(y) * width + x) * pixel, 1, channels);
    }
  }
}

template <typename T>
inline void unpack(const T* from, int height, int width, int channels, Plane<T> to) {
  const int pixel = padded<T>(channels);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      copy(from + (static_cast<std::ptrdiff_t>(y) * width + x) * pixel, 1, to.at(y, x), to.channel, channels);
    }
  }
}

// Width of a row in pack_transposed: whole vectors may be read from any window's column on. Rows a multiple of four
// vectors apart would meet in a few sets of the first cache.
template <typename T>
inline int transposed_width(int width) {
  const int vectors = padded<T>(width) / kLanes<T> + 1;
  return (vectors % 4 == 0 ? vectors + 1 : vectors) * kLanes<T>;
}

// The plane as (height, channels, transposed_width), for correlate(). What lies beyond the width is not defined.
template <typename T>
inline void pack_transposed(Plane<const T> from, int height, int width, int channels, T* out) {
  const int wide = transposed_width<T>(width), blocks = from.channel == 1 ? channels / kLanes<T> * kLanes<T> : 0;
  for (int y = 0; y < height; ++y, out += static_cast<std::ptrdiff_t>(channels) * wide) {
    for (int x = 0; x < width && blocks; x += kLanes<T>) {
      for (int c = 0; c < blocks; c += kLanes<T>) {
        simd::transpose_block(from.at(y, x) + c, from.column, std::min(kLanes<T>, width - x), out + c * wide + x, wide);
      }
    }
    for (int x = 0; x < width && blocks < channels; ++x) {
      copy(from.at(y, x) + blocks * from.channel, from.channel, out + blocks * wide + x, wide, channels - blocks);
    }
  }
}

// Neighbouring positions of one row that are worked on together: their windows cover the same rows and, but for their
// ends, the same columns, so that what is loaded once serves all of them. Their windows either all start at one column
// (at the border) or each one column after the last (inside).
struct Tile {
  int first, count, start, step;
};

constexpr int kTile = 6;

// The tiles of a row, in order; in each of the row's three parts they are as even as possible.
inline std::vector<Tile> tiles(int width, int kernel) {
  std::vector<Tile> all;
  const auto cut = [&](int first, int last, int step) {
    // Windows that move must still share a column.
    const int most = step ? std::min(kTile, kernel) : kTile, parts = (last - first + most - 1) / most;
    for (int part = 0; part < parts; ++part) {
      const int from = first + (last - first) * part / parts, to = first + (last - first) * (part + 1) / parts;
      all.push_back({from, to - from, window_start(from, width, kernel), step});
    }
  };
  const int left = width == kernel ? width : kernel / 2 + 1, right = width == kernel ? width : width - left;
  cut(0, left, 0);
  cut(left, right, 1);
  cut(right, width, 0);
  return all;
}

// Calls common(column) for the columns that lie in the windows of all Q positions of a tile, then single(q, column) for
// every other column of each window.
template <int Q, int Step, typename Common, typename Single>
inline void visit_row(int start, int kernel, Common&& common, Single&& single) {
  for (int column = start + Step * (Q - 1); column < start + kernel; ++column) common(column);
  if constexpr (Step == 1) {
#pragma GCC unroll 8
    for (int q = 0; q < Q; ++q) {
#pragma GCC unroll 8
      for (int before = q; before < Q - 1; ++before) single(q, start + before);
#pragma GCC unroll 8
      for (int after = 0; after < q; ++after) single(q, start + kernel + after);
    }
  }
}

// out[q, c] = sum over the window of query q of weights[q, i * columns + j] * map[i, start + j, c], for N vectors of
// channels. `map` points at the first row of the windows.
template <typename T, int Q, int Step, int N>
[[gnu::noinline]] void gather_block(int start, Extent kernel, const T* weights, std::ptrdiff_t weights_row, const T* map,
                                    std::ptrdiff_t map_row, int pixel, T* out) {
  Vec<T> total[Q][N] = {};
  for (int i = 0; i < kernel.rows; ++i, map += map_row, weights += kernel.columns) {
    visit_row<Q, Step>(
        start, kernel.columns,
        [&](int column) {
          Vec<T> x[N];
#pragma GCC unroll 2
          for (int n = 0; n < N; ++n) x[n] = load(map + column * pixel + n * kLanes<T>);
#pragma GCC unroll 8
          for (int q = 0; q < Q; ++q) {
            const T weight = weights[q * weights_row + column - start - Step * q];
#pragma GCC unroll 2
            for (int n = 0; n < N; ++n) total[q][n] += weight * x[n];
          }
        },
        [&](int q, int column) {
          const T weight = weights[q * weights_row + column - start - q];
#pragma GCC unroll 2
          for (int n = 0; n < N; ++n) total[q][n] += weight * load(map + column * pixel + n * kLanes<T>);
        });
  }
#pragma GCC unroll 8
  for (int q = 0; q < Q; ++q) {
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) store(out + q * pixel + n * kLanes<T>, total[q][n]);
  }
}

// The transpose of gather_block: map[i, start + j, c] += weights[q, i * columns + j] * grad[q, c].
template <typename T, int Q, int Step, int N>
[[gnu::noinline]] void scatter_block(int start, Extent kernel, const T* weights, std::ptrdiff_t weights_row,
                                     const T* grad, std::ptrdiff_t map_row, int pixel, T* map) {
  Vec<T> g[Q][N];
#pragma GCC unroll 8
  for (int q = 0; q < Q; ++q) {
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) g[q][n] = load(grad + q * pixel + n * kLanes<T>);
  }
  for (int i = 0; i < kernel.rows; ++i, map += map_row, weights += kernel.columns) {
    visit_row<Q, Step>(
        start, kernel.columns,
        [&](int column) {
          Vec<T> x[N];
#pragma GCC unroll 2
          for (int n = 0; n < N; ++n) x[n] = load(map + column * pixel + n * kLanes<T>);
#pragma GCC unroll 8
          for (int q = 0; q < Q; ++q) {
            const T weight = weights[q * weights_row + column - start - Step * q];
#pragma GCC unroll 2
            for (int n = 0; n < N; ++n) x[n] += weight * g[q][n];
          }
#pragma GCC unroll 2
          for (int n = 0; n < N; ++n) store(map + column * pixel + n * kLanes<T>, x[n]);
        },
        [&](int q, int column) {
          const T weight = weights[q * weights_row + column - start - q];
#pragma GCC unroll 2
          for (int n = 0; n < N; ++n) {
            T* to = map + column * pixel + n * kLanes<T>;
            store(to, load(to) + weight * g[q][n]);
          }
        });
  }
}

// Calls block(Q, Step, N, first channel) for the tile, with two (or a last one) vectors of channels at a time.
template <typename T, typename Block>
inline void for_channels(const Tile& tile, int pixel, Block&& block) {
  using One = std::integral_constant<int, 1>;
  using Two = std::integral_constant<int, 2>;
  simd::with_constant<kTile>(tile.count, [&](auto queries) {
    const auto all = [&](auto step) {
      int c = 0;
      for (; c + 2 * kLanes<T> <= pixel; c += 2 * kLanes<T>) block(queries, step, Two{}, c);
      if (c < pixel) block(queries, step, One{}, c);
    };
    tile.step == 0 ? all(std::integral_constant<int, 0>{}) : all(One{});
  });
}

template <typename T>
inline void gather(const Tile& tile, const Extent& kernel, const T* weights, std::ptrdiff_t weights_row, const T* map, int width,
                   int pixel, T* out) {
  for_channels<T>(tile, pixel, [&](auto queries, auto step, auto vectors, int c) {
    gather_block<T, queries, step, vectors>(tile.start, kernel, weights, weights_row, map + c, width * pixel, pixel,
                                            out + c);
  });
}

template <typename T>
inline void scatter(const Tile& tile, const Extent& kernel, const T* weights, std::ptrdiff_t weights_row, const T* grad,
                    int width, int pixel, T* map) {
  for_channels<T>(tile, pixel, [&](auto queries, auto step, auto vectors, int c) {
    scatter_block<T, queries, step, vectors>(tile.start, kernel, weights, weights_row, grad + c, width * pixel, pixel,
                                             map + c);
  });
}

// Room that correlate() and other row-wise writers of a window need: they write whole vectors, each row's excess being
// overwritten by the next row.
template <typename T>
inline int window_room(const Extent& kernel) {
  return padded<T>(kernel.columns * (kernel.rows - 1) + padded<T>(kernel.columns));
}

// What correlate() adds to: rows of numbers, `row` apart and readable as whole vectors, or nothing.
template <typename T>
struct Initial {
  const T* data = nullptr;
  std::ptrdiff_t row = 0;

  Initial from(std::ptrdiff_t i, std::ptrdiff_t j) const { return {data ? data + i * row + j : nullptr, row}; }
};

template <typename T, int R, int N>
[[gnu::noinline]] void correlate_block(const T* grad, const T* map, int channels, int wide, int columns,
                                       Initial<T> initial, T* out) {
  Vec<T> total[R][N] = {};
  if (initial.data) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) total[r][n] = load(initial.data + r * initial.row + n * kLanes<T>);
    }
  }
  for (int c = 0; c < channels; ++c) {
    const T g = grad[c];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) {
        total[r][n] += g * load(map + (static_cast<std::ptrdiff_t>(r) * channels + c) * wide + n * kLanes<T>);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) store(out + r * columns + n * kLanes<T>, total[r][n]);
  }
}

// As correlate(), where N vectors hold a row of the window: a few rows at a time, as even as possible.
template <typename T, int N>
inline void correlate_rows(const T* grad, const T* map, int channels, int wide, const Extent& kernel,
                           Initial<T> initial, T* out) {
  constexpr int most = N == 1 ? 8 : 6;  // as many sums as the registers hold
  const int blocks = (kernel.rows + most - 1) / most;
  for (int block = 0; block < blocks; ++block) {
    const int first = kernel.rows * block / blocks, last = kernel.rows * (block + 1) / blocks;
    simd::with_constant<most>(last - first, [&](auto rows) {
      correlate_block<T, rows, N>(grad, map + static_cast<std::ptrdiff_t>(first) * channels * wide, channels, wide,
                                  kernel.columns, initial.from(first, 0), out + first * kernel.columns);
    });
  }
}

// out[i * columns + j] = initial[i, j] + sum over c of grad[c] * map[i, c, j], `map` from pack_transposed and pointing at
// the window's first row and column. Writes up to window_room(kernel) numbers.
template <typename T>
inline void correlate(const T* grad, const T* map, int channels, int wide, const Extent& kernel, T* out,
                      Initial<T> initial = {}) {
  if (kernel.columns <= kLanes<T>) {
    correlate_rows<T, 1>(grad, map, channels, wide, kernel, initial, out);
  } else if (kernel.columns <= 2 * kLanes<T>) {
    correlate_rows<T, 2>(grad, map, channels, wide, kernel, initial, out);
  } else {
    // Row by row, so that what is written beyond a row is overwritten by the next.
    for (int i = 0; i < kernel.rows; ++i, map += static_cast<std::ptrdiff_t>(channels) * wide) {
      for (int j = 0; j < kernel.columns; j += kLanes<T>) {
        correlate_block<T, 1, 1>(grad, map + j, channels, wide, kernel.columns, initial.from(i, j),
                                 out + i * kernel.columns + j);
      }
    }
  }
}

}  // namespace neighborhood
