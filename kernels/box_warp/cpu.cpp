// Box warp, forward and backward. A task is one map: a small mask, its box and its visibility. Columns have the same
// places in all rows, so that a row of the map is two steps: between two rows of the mask, then between its columns.
#include "native.h"
#include "parallel.h"

#include <algorithm>
#include <vector>

namespace {

using native::Array;

// A pixel's place along one axis: between the samples `left` and `right`, at `weight` from the first to the second.
template <typename T>
struct Tap {
  int left, right;
  T weight;
  T relative;   // its place in the box, from 0 to 1
  bool free;    // whether the weight moves with the box: it does not beyond the outermost samples
};

// The pixels [first, last) that lie inside a box along one axis, and their taps. Places are in double and rounded step by
// step as the definition's: where one falls on a sample, it decides which neighbour the gradient sees.
template <typename T>
struct Axis {
  int first = 0, last = 0;
  std::vector<Tap<T>> taps;

  // What is no number compares as inside, so that it is seen in the result.
  Axis(double centre, double extent, int samples, int pixels) {
    const double start = centre - extent / 2, end = centre + extent / 2, most = samples - 1;
    auto outside = [&](int pixel) { return pixel + 0.5 < start || pixel + 0.5 >= end; };
    while (first < pixels && outside(first)) ++first;
    last = first;
    while (last < pixels && !outside(last)) ++last;
    taps.reserve(last - first);
    for (int pixel = first; pixel < last; ++pixel) {
      const double within = pixel + 0.5 - start, place = within * samples / extent - 0.5;
      const double clamped = place < 0 ? 0 : place > most ? most : place;
      const int left = clamped > 0 ? static_cast<int>(clamped) : 0;
      const T weight = clamped - left, relative = within / extent;
      taps.push_back({left, std::min(left + 1, samples - 1), weight, relative, place > 0 && place < most});
    }
  }
};

template <typename T>
struct Map {
  T* data;
  int rows, columns;
  std::ptrdiff_t down, across;

  Map(const Array<T>& maps, int task)
      : data(maps.data() + task / maps.shape(1) * maps.stride(0) + task % maps.shape(1) * maps.stride(1)),
        rows(maps.shape(2)), columns(maps.shape(3)), down(maps.stride(2)), across(maps.stride(3)) {}
  T& at(int row, int column) const { return data[row * down + column * across]; }
};

// An element of a (N, K, ...) tensor.
template <typename T>
T& element(const Array<T>& tensor, int task, int number = 0) {
  const std::int64_t labels = tensor.shape(1);
  const std::ptrdiff_t within = tensor.ndim() > 2 ? number * tensor.stride(2) : 0;
  return tensor.data()[task / labels * tensor.stride(0) + task % labels * tensor.stride(1) + within];
}

template <typename T>
void forward(const Array<T>& mask, const Array<T>& box, const Array<T>& visible, const Array<T>& out, int threads) {
  parallel::run(static_cast<int>(mask.shape(0) * mask.shape(1)), threads, [&](int task, int) {
    const Map<T> from(mask, task), to(out, task);
    const Axis<T> across(element(box, task, 0), element(box, task, 2), from.columns, to.columns);
    const Axis<T> down(element(box, task, 1), element(box, task, 3), from.rows, to.rows);
    const T seen = element(visible, task);
    std::vector<T> line(from.columns);
    for (int i = 0; i < to.rows; ++i) {
      T* const row = to.data + i * to.down;
      if (i < down.first || i >= down.last) {
        std::fill(row, row + to.columns, T(0));
        continue;
      }
      const Tap<T>& tap = down.taps[i - down.first];
      for (int x = 0; x < from.columns; ++x) {
        line[x] = seen * (from.at(tap.left, x) * (1 - tap.weight) + from.at(tap.right, x) * tap.weight);
      }
      std::fill(row, row + across.first, T(0));
      for (int j = across.first; j < across.last; ++j) {
        const Tap<T>& side = across.taps[j - across.first];
        row[j] = line[side.left] * (1 - side.weight) + line[side.right] * side.weight;
      }
      std::fill(row + across.last, row + to.columns, T(0));
    }
  });
}

// What a box's gradient along one axis adds up to: that of a place in the mask moves with centre and extent.
template <typename T>
struct Slope {
  double centre = 0, extent = 0;
  void add(T slope, const Tap<T>& tap) {
    if (!tap.free) return;
    centre -= slope;
    extent += slope * (T(0.5) - tap.relative);
  }
};

template <typename T>
void backward(const Array<T>& grad, const Array<T>& mask, const Array<T>& box, const Array<T>& visible,
              const Array<T>& grad_mask, const Array<T>& grad_box, const Array<T>& grad_visible, int threads) {
  parallel::run(static_cast<int>(mask.shape(0) * mask.shape(1)), threads, [&](int task, int) {
    const Map<T> from(mask, task), flow(grad, task), to(grad_mask, task);
    const T width = element(box, task, 2), height = element(box, task, 3), seen = element(visible, task);
    const Axis<T> across(element(box, task, 0), width, from.columns, flow.columns);
    const Axis<T> down(element(box, task, 1), height, from.rows, flow.rows);
    std::vector<T> line(from.columns), step(from.columns), sums(from.columns), total(from.rows * from.columns);
    Slope<T> sideways, upright;
    double slope_visible = 0;
    for (int i = down.first; i < down.last; ++i) {
      const Tap<T>& tap = down.taps[i - down.first];
      for (int x = 0; x < from.columns; ++x) {
        const T upper = from.at(tap.left, x), lower = from.at(tap.right, x);
        line[x] = upper * (1 - tap.weight) + lower * tap.weight, step[x] = lower - upper, sums[x] = 0;
      }
      double slope_down = 0;
      for (int j = across.first; j < across.last; ++j) {
        const Tap<T>& side = across.taps[j - across.first];
        const T g = flow.at(i, j), weighted = g * seen, a = side.weight;
        slope_visible += g * (line[side.left] * (1 - a) + line[side.right] * a);
        slope_down += weighted * (step[side.left] * (1 - a) + step[side.right] * a);
        sideways.add(weighted * (line[side.right] - line[side.left]), side);
        sums[side.left] += weighted * (1 - a);
        sums[side.right] += weighted * a;
      }
      upright.add(static_cast<T>(slope_down), tap);
      for (int x = 0; x < from.columns; ++x) {
        total[tap.left * from.columns + x] += (1 - tap.weight) * sums[x];
        total[tap.right * from.columns + x] += tap.weight * sums[x];
      }
    }
    for (int y = 0; y < from.rows; ++y) {
      for (int x = 0; x < from.columns; ++x) to.at(y, x) = total[y * from.columns + x];
    }
    const bool any = across.first < across.last && down.first < down.last;  // else the extents may be zero
    element(grad_box, task, 0) = any ? static_cast<T>(sideways.centre * from.columns / width) : T(0);
    element(grad_box, task, 1) = any ? static_cast<T>(upright.centre * from.rows / height) : T(0);
    element(grad_box, task, 2) = any ? static_cast<T>(sideways.extent * from.columns / width) : T(0);
    element(grad_box, task, 3) = any ? static_cast<T>(upright.extent * from.rows / height) : T(0);
    element(grad_visible, task) = static_cast<T>(slope_visible);
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("box_warp_forward", &forward<T>, "mask"_a.noconvert(), "box"_a.noconvert(), "visible"_a.noconvert(),
        "out"_a.noconvert(), "threads"_a, release);
  m.def("box_warp_backward", &backward<T>, "grad"_a.noconvert(), "mask"_a.noconvert(), "box"_a.noconvert(),
        "visible"_a.noconvert(), "grad_mask"_a.noconvert(), "grad_box"_a.noconvert(), "grad_visible"_a.noconvert(),
        "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
