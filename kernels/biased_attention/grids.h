// The sizes of biased attention, and the grids of one head as its inner loops see them: whole matrices in scratch memory.
#pragma once

#include <limits>

#include "native.h"
#include "simd.h"

namespace biased_attention {

using native::Array;
using simd::kLanes;
using simd::load;
using simd::padded;
using simd::store;
using simd::Vec;

constexpr int kTile = 24;  // queries that are scored together, at most

// One head's grid inside a (B, L, G, H, W, channels) tensor of any strides; positions are numbered row by row.
template <typename T>
struct Grid {
  T* data;
  std::ptrdiff_t row, column, channel;
  int width;

  T* at(int position) const { return data + (position / width) * row + (position % width) * column; }
  // Whether the positions lie at one distance from each other, as vectors that can be loaded whole.
  bool is_matrix(int height, int channels) const {
    return channel == 1 && channels % kLanes<T> == 0 && (height == 1 || row == width * column);
  }
};

// The sizes of a problem; a task is one head of one of the L grids of one image.
struct Problem {
  int batch, lines, heads, height, width, depth, channels;

  template <typename T>
  Problem(const Array<T>& query, const Array<T>& value)
      : batch(query.shape(0)), lines(query.shape(1)), heads(query.shape(2)), height(query.shape(3)),
        width(query.shape(4)), depth(query.shape(5)), channels(value.shape(5)) {}

  int tasks() const { return batch * lines * heads; }
  int head(int task) const { return task % heads; }
  int positions() const { return height * width; }
  // The queries are cut into tiles of nearly one size; tile `i` starts at first(i).
  int tiles() const { return (positions() + kTile - 1) / kTile; }
  int first(int tile) const {
    return static_cast<int>(static_cast<std::int64_t>(positions()) * tile / tiles());
  }
  int offsets() const { return (2 * height - 1) * (2 * width - 1); }

  template <typename T>
  Grid<T> grid(const Array<T>& tensor, int task) const {
    const std::ptrdiff_t image = task / heads / lines, line = task / heads % lines;
    return {tensor.data() + image * tensor.stride(0) + line * tensor.stride(1) + head(task) * tensor.stride(2),
            tensor.stride(3), tensor.stride(4), tensor.stride(5), width};
  }

  // The first of the offsets that position `query` looks up, those of the keys in the first row of the grid.
  int first_offset(int query) const {
    return (height - 1 - query / width) * (2 * width - 1) + width - 1 - query % width;
  }
};

// Calls f with the distance between two channels, as a constant where it is 1, so that loops over them vectorise.
template <typename F>
inline void with_step(std::ptrdiff_t step, F&& f) {
  if (step == 1) {
    f(std::integral_constant<std::ptrdiff_t, 1>{});
  } else {
    f(step);
  }
}

// Positions [first, first + count) into the rows of a matrix.
template <typename T>
inline void pack(const Grid<T>& from, int first, int count, int channels, T* to, std::ptrdiff_t to_row) {
  with_step(from.channel, [&](auto step) {
    for (int i = 0; i < count; ++i) {
      const T* const position = from.at(first + i);
      T* const row = to + i * to_row;
      for (int c = 0; c < channels; ++c) row[c] = position[c * step];
    }
  });
}

// All positions into the columns of a matrix (channels, to_row), times `scale`.
template <typename T>
inline void pack_transposed(const Grid<T>& from, int positions, int channels, T scale, T* to, std::ptrdiff_t to_row) {
  constexpr int together = kLanes<T>;
  with_step(from.channel, [&](auto step) {
    int first = 0;
    for (; first + together <= positions; first += together) {
      const T* position[together];
      for (int i = 0; i < together; ++i) position[i] = from.at(first + i);
      for (int c = 0; c < channels; ++c) {
        T* const row = to + c * to_row + first;
        for (int i = 0; i < together; ++i) row[i] = scale * position[i][c * step];
      }
    }
    for (; first < positions; ++first) {
      const T* const position = from.at(first);
      for (int c = 0; c < channels; ++c) to[c * to_row + first] = scale * position[c * step];
    }
  });
}

// Rows of a matrix to the positions [first, first + count), each times its factor.
template <typename T>
inline void unpack(const T* from, std::ptrdiff_t from_row, const T* factor, int first, int count, int channels,
                   const Grid<T>& to) {
  with_step(to.channel, [&](auto step) {
    for (int i = 0; i < count; ++i) {
      T* const position = to.at(first + i);
      const T* const row = from + i * from_row;
      for (int c = 0; c < channels; ++c) position[c * step] = factor[i] * row[c];
    }
  });
}

// The table of one head, contiguous.
template <typename T>
inline void pack_table(const Problem& p, const Array<T>& table, int head, T* to) {
  const T* const from = table.data() + head * table.stride(0);
  for (int y = 0; y < 2 * p.height - 1; ++y) {
    for (int x = 0; x < 2 * p.width - 1; ++x) *to++ = from[y * table.stride(1) + x * table.stride(2)];
  }
}

// The biases of one query: along a row of the grid the offsets are consecutive.
template <typename T>
inline void look_up(const Problem& p, const T* table, int query, T* to) {
  const T* from = table + p.first_offset(query);
  for (int y = 0; y < p.height; ++y, from += 2 * p.width - 1) {
    for (int x = 0; x < p.width; ++x) to[y * p.width + x] = from[x];
  }
}

// Adds the gradients of one query's biases to the table's.
template <typename T>
inline void add_to_table(const Problem& p, const T* from, int query, T* table) {
  T* to = table + p.first_offset(query);
  for (int y = 0; y < p.height; ++y, to += 2 * p.width - 1) {
    for (int x = 0; x < p.width; ++x) to[x] += from[y * p.width + x];
  }
}

}  // namespace biased_attention
