// The cross-scan: copies of a map in the order of four directions. Elements are only moved, whatever their type is.
#include "native.h"
#include "parallel.h"
#include "paths.h"

namespace native::cross_scan {
namespace {

constexpr int kPositions = 64;  // of a task with channels side by side

// x (B, C, H, W) with unit steps along rows, out (B, 4, C, L).
template <typename T>
void planes(const Array<const T>& x, const Array<T>& out, const paths::Directions& directions, int threads) {
  const int channels = x.shape(1), height = x.shape(2), width = x.shape(3), length = height * width;
  parallel::run(static_cast<int>(x.shape(0)) * channels, threads, [&](int task, int) {
    const int b = task / channels, c = task % channels;
    T* seen[2] = {};  // where the map already is in the order of rows and of columns
    const auto write = [&](int direction, T* to) {
      if (T* const known = seen[paths::along_columns(direction)]) {
        if (paths::from_the_end(direction)) {
          for (int l = 0; l < length; ++l) to[l] = known[length - 1 - l];
        } else {
          std::copy_n(known, length, to);
        }
      } else if (paths::along_columns(direction)) {
        paths::transpose(seen[0], height, width, to);
      } else {
        for (int h = 0; h < height; ++h) {
          std::copy_n(x.data() + b * x.stride(0) + c * x.stride(1) + h * x.stride(2), width, to + h * width);
        }
      }
    };
    for (int k = 0; k < 4; ++k) {  // in every order the first of a kind goes forwards
      T* const to = out.data() + b * out.stride(0) + k * out.stride(1) + c * out.stride(2);
      write(directions[k], to);
      T*& kind = seen[paths::along_columns(directions[k])];
      kind = kind ? kind : to;
    }
  });
}

// x (B, L, C) with unit steps along channels, out (B, L, 4, C).
template <typename T>
void tokens(const Array<const T>& x, const Array<T>& out, const paths::Directions& directions, int height, int width,
            int threads) {
  const int length = x.shape(1), channels = x.shape(2), parts = (length + kPositions - 1) / kPositions;
  std::vector<int> path[4];
  for (int k = 0; k < 4; ++k) path[k] = paths::path(directions[k], height, width);
  parallel::run(static_cast<int>(x.shape(0)) * parts, threads, [&](int task, int) {
    const int b = task / parts, first = task % parts * kPositions;
    for (int l = first; l < std::min(first + kPositions, length); ++l) {
      for (int k = 0; k < 4; ++k) {
        const T* const from = x.data() + b * x.stride(0) + path[k][l] * x.stride(1);
        std::copy_n(from, channels, out.data() + b * out.stride(0) + l * out.stride(1) + k * out.stride(2));
      }
    }
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  m.def(
      "cross_scan",
      [](const Array<const T>& x, const Array<T>& out, int scans, int threads) {
        planes<T>(x, out, paths::directions(scans), threads);
      },
      "x"_a.noconvert(), "out"_a.noconvert(), "scans"_a, "threads"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "cross_scan_tokens",
      [](const Array<const T>& x, const Array<T>& out, int scans, int height, int width, int threads) {
        tokens<T>(x, out, paths::directions(scans), height, width, threads);
      },
      "x"_a.noconvert(), "out"_a.noconvert(), "scans"_a, "height"_a, "width"_a, "threads"_a,
      nb::call_guard<nb::gil_scoped_release>());
}

void bind(nb::module_& m) {
  bind_dtype<std::int16_t>(m);
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
}  // namespace native::cross_scan
