// The cross-merge: four sequences over a map, added in their places.
#include "native.h"
#include "parallel.h"
#include "paths.h"

namespace native::cross_merge {
namespace {

using simd::kLanes;

constexpr int kPositions = 64;  // of a task with channels side by side

template <typename T>
void add(const T* from, int length, T* to) {
  for (int i = 0; i < length; ++i) to[i] += from[i];
}

template <typename T>
void add_reversed(const T* from, int length, T* to) {
  for (int i = 0; i < length; ++i) to[i] += from[length - 1 - i];
}

// y (B, 4, C, L) with unit steps along L, out (B, C, L) dense. Sequences of a kind are added in their own order first.
template <typename T>
void planes(const Array<const T>& y, const Array<T>& out, const paths::Directions& directions, int height, int width,
            int threads) {
  const int channels = y.shape(2), length = y.shape(3);
  parallel::run(static_cast<int>(y.shape(0)) * channels, threads, [&](int task, int) {
    const int b = task / channels, c = task % channels;
    T* const map = out.data() + static_cast<std::ptrdiff_t>(task) * length;
    const simd::Buffer<T> columns(length), back(length);
    bool turned = false;
    for (int k = 0; k < 4; ++k) {
      const T* const from = y.data() + b * y.stride(0) + k * y.stride(1) + c * y.stride(2);
      const bool along_columns = paths::along_columns(directions[k]);
      T* const to = along_columns ? columns.data() : map;
      turned |= along_columns;
      if (k == 0) {
        std::copy_n(from, length, to);
      } else {
        paths::from_the_end(directions[k]) ? add_reversed(from, length, to) : add(from, length, to);
      }
    }
    if (turned) {
      paths::transpose<T>(columns.data(), width, height, back.data());
      add(back.data(), length, map);
    }
  });
}

// y (B, L, 4, C) with unit steps along channels, out (B, L, C) dense.
template <typename T>
void tokens(const Array<const T>& y, const Array<T>& out, const paths::Directions& directions, int height, int width,
            int threads) {
  const int length = y.shape(1), channels = y.shape(3), parts = (length + kPositions - 1) / kPositions;
  std::vector<int> place[4];  // of each position of the map in the sequences
  for (int k = 0; k < 4; ++k) {
    const std::vector<int> path = paths::path(directions[k], height, width);
    place[k].resize(length);
    for (int l = 0; l < length; ++l) place[k][path[l]] = l;
  }
  parallel::run(static_cast<int>(y.shape(0)) * parts, threads, [&](int task, int) {
    const int b = task / parts, first = task % parts * kPositions;
    for (int p = first; p < std::min(first + kPositions, length); ++p) {
      const T* from[4];
      for (int k = 0; k < 4; ++k) from[k] = y.data() + b * y.stride(0) + place[k][p] * y.stride(1) + k * y.stride(2);
      T* const to = out.data() + (static_cast<std::ptrdiff_t>(b) * length + p) * channels;
      for (int c = 0; c < channels; ++c) to[c] = from[0][c] + from[1][c] + from[2][c] + from[3][c];
    }
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  m.def(
      "cross_merge",
      [](const Array<const T>& y, const Array<T>& out, int scans, int height, int width, bool channels_last,
         int threads) {
        (channels_last ? tokens<T> : planes<T>)(y, out, paths::directions(scans), height, width, threads);
      },
      "y"_a.noconvert(), "out"_a.noconvert(), "scans"_a, "height"_a, "width"_a, "channels_last"_a, "threads"_a,
      nb::call_guard<nb::gil_scoped_release>());
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
}  // namespace native::cross_merge
