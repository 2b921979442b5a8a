// Attention from a block of queries to a window of keys, on packed rows: the matrix products and the softmax that every
// operator with blocks or windows is made of. Scores are held as (keys, queries), queries padded to whole vectors, so
// that keys and values are read where they lie, and the softmax runs over all queries at once.
#pragma once

#include <cmath>

#include "neighborhood.h"
#include "simd.h"

namespace block_attention {

using simd::kLanes;
using simd::load;
using simd::Matrix;
using simd::padded;
using simd::store;
using simd::Vec;

// The rows of a window: `runs` runs of `length` rows, a row of unit channel stride and padded channels.
template <typename T>
struct Rows {
  T* data;
  std::ptrdiff_t step, row;  // from run to run, and from row to row
  int runs, length;

  T* run(int i) const { return data + i * step; }
  int count() const { return runs * length; }
};

// scores (keys, wide) = or += keys (keys, depth) times queries (depth, wide).
template <typename T>
inline void score(const Rows<const T>& keys, int depth, const T* queries, int wide, T* scores, bool accumulate) {
  for (int i = 0; i < keys.runs; ++i) {
    simd::multiply<T>(keys.length, wide, depth, {keys.run(i), keys.row, 1}, queries, wide,
                      scores + static_cast<std::ptrdiff_t>(i) * keys.length * wide, wide, accumulate);
  }
}

// out (queries, columns) = or += the transpose of scores (keys, wide) times rows (keys, columns).
template <typename T>
inline void gather(const T* scores, int wide, int queries, const Rows<const T>& rows, int columns, T* out,
                   bool accumulate) {
  for (int i = 0; i < rows.runs; ++i) {
    simd::multiply<T>(queries, columns, rows.length,
                      {scores + static_cast<std::ptrdiff_t>(i) * rows.length * wide, 1, wide}, rows.run(i), rows.row,
                      out, columns, accumulate || i > 0);
  }
}

// rows (keys, columns) += scores (keys, wide) times x (queries, columns).
template <typename T>
inline void scatter(const T* scores, int wide, int queries, const T* x, int columns, const Rows<T>& rows) {
  for (int i = 0; i < rows.runs; ++i) {
    simd::multiply<T>(rows.length, columns, queries,
                      {scores + static_cast<std::ptrdiff_t>(i) * rows.length * wide, wide, 1}, x, columns, rows.run(i),
                      rows.row, true);
  }
}

// scores := exp(scores - largest), query by query; then sum (wide) and the logarithm of the sum of exponentials (wide).
template <typename T>
[[gnu::noinline]] void exponentials(T* scores, int keys, int wide, T* sum, T* logarithm) {
  for (int q = 0; q < wide; q += kLanes<T>) {
    Vec<T> top = load(scores + q);
    for (int k = 1; k < keys; ++k) {
      const Vec<T> next = load(scores + static_cast<std::ptrdiff_t>(k) * wide + q);
      top = next > top ? next : top;
    }
    Vec<T> total = {};
    for (int k = 0; k < keys; ++k) {
      T* const at = scores + static_cast<std::ptrdiff_t>(k) * wide + q;
      const Vec<T> e = simd::exp_nonpositive(load(at) - top);
      total += e;
      store(at, e);
    }
    store(sum + q, total);
    T lanes[kLanes<T>];
    store(lanes, top);
    for (int lane = 0; lane < kLanes<T>; ++lane) logarithm[q + lane] = lanes[lane] + std::log(sum[q + lane]);
  }
}

// scores := the weights exp(scores - logarithm); grad (keys, wide), the gradient of the weights, := that of the scores.
template <typename T>
[[gnu::noinline]] void softmax_backward(T* scores, T* grad, int keys, int wide, const T* logarithm) {
  for (int q = 0; q < wide; q += kLanes<T>) {
    const Vec<T> shift = load(logarithm + q);
    Vec<T> mean = {};
    for (int k = 0; k < keys; ++k) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(k) * wide + q;
      const Vec<T> weight = simd::exp_nonpositive(load(scores + at) - shift);
      mean += weight * load(grad + at);
      store(scores + at, weight);
    }
    for (int k = 0; k < keys; ++k) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(k) * wide + q;
      store(grad + at, load(scores + at) * (load(grad + at) - mean));
    }
  }
}

// `count` rows of `channels` numbers, `from_row` apart and of stride `from_step`, as columns of out (channels, wide).
template <typename T>
inline void transpose(const T* from, std::ptrdiff_t from_row, std::ptrdiff_t from_step, int count, int channels, T* out,
                      int wide) {
  for (int c = 0; c < channels; ++c) {
    for (int i = 0; i < count; ++i) out[static_cast<std::ptrdiff_t>(c) * wide + i] = from[i * from_row + c * from_step];
  }
}

}  // namespace block_attention
