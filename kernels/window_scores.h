// What operators share that make the weights of a window on the fly: the scores of one position lie row by row without
// gaps, in room for window_room() numbers, and the gradient comes back through their softmax and their position bias.
#pragma once

#include <limits>

#include "neighborhood.h"

namespace neighborhood {

// Calls f(i, j) at the first column j of every vector of every row i of a window.
template <typename T, typename F>
inline void for_vectors(const Extent& kernel, F&& f) {
  if (kernel.columns <= kLanes<T>) {
    for (int i = 0; i < kernel.rows; ++i) f(i, 0);
  } else if (kernel.columns <= 2 * kLanes<T>) {
    for (int i = 0; i < kernel.rows; ++i) f(i, 0), f(i, kLanes<T>);
  } else {
    for (int i = 0; i < kernel.rows; ++i) {
      for (int j = 0; j < kernel.columns; j += kLanes<T>) f(i, j);
    }
  }
}

// table[i * side + j] += scores[i * columns + j]; reads and writes back unchanged up to a vector beyond the last row.
template <typename T>
inline void scatter_rows(const T* scores, int side, const Extent& kernel, T* table) {
  T ones[2 * kLanes<T>] = {};
  std::fill(ones, ones + kLanes<T>, T(1));
  // 1 for the columns of a row's last vector
  const Vec<T> inside = load(ones + padded<T>(kernel.columns) - kernel.columns);
  for_vectors<T>(kernel, [=](int i, int j) {
    const Vec<T> all = load(scores + i * kernel.columns + j), none = {};
    T* const to = table + i * side + j;
    store(to, load(to) + (j + kLanes<T> <= kernel.columns ? all : inside > none ? all : none));
  });
}

// scores := exp(scores - largest score) over `window` numbers, zeros up to `room`; returns their sum.
template <typename T>
inline T exponentials(T* scores, int window, int room) {
  std::fill(scores + window, scores + room, -std::numeric_limits<T>::infinity());
  return simd::exponentials(scores, room);
}

// grad := weights * (grad - sum of weights * grad): from the gradient of softmax weights to that of the scores.
template <typename T>
inline void softmax_backward(const T* weights, T* grad, int window, int room) {
  std::fill(grad + window, grad + room, T(0));
  Vec<T> along = {};
  for (int i = 0; i < room; i += kLanes<T>) along += load(weights + i) * load(grad + i);
  const T mean = simd::sum<T>(along);
  for (int i = 0; i < room; i += kLanes<T>) store(grad + i, load(weights + i) * (load(grad + i) - mean));
}

}  // namespace neighborhood
