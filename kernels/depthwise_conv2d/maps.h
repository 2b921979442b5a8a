// How the depthwise convolution sees a tensor: as maps, one for each vector of neighbouring channels.
#pragma once

#include <algorithm>
#include <optional>
#include <type_traits>
#include <vector>

#include "native.h"
#include "simd.h"

namespace native::depthwise {
namespace {

using simd::kLanes;
using simd::load;
using simd::store;
using simd::Vec;

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

// The channels cut into vectors. The last one either overlaps the one before it or has lanes without a channel.
template <typename T>
struct Channels {
  int channels;
  bool overlap;

  int vectors() const { return ceil_div(channels, kLanes<T>); }
  int first(int v) const { return overlap ? std::min(v * kLanes<T>, channels - kLanes<T>) : v * kLanes<T>; }
  int count(int v) const { return std::min(kLanes<T>, channels - first(v)); }
};

// A (B, C, H, W) tensor of any strides.
template <typename P>
struct Tensor4 {
  P* data;
  int batch, channels, rows, columns;
  ptrdiff_t sb, sc, sy, sx;

  template <typename A>
  explicit Tensor4(const A& a)
      : data(a.data()), batch(a.shape(0)), channels(a.shape(1)), rows(a.shape(2)), columns(a.shape(3)),
        sb(a.stride(0)), sc(a.stride(1)), sy(a.stride(2)), sx(a.stride(3)) {}
};

// A stack of maps: element (row, column) of map v is a vector at data + offset(v) + row and column strides.
template <typename P>
struct Maps {
  P* data;
  int rows, columns;
  ptrdiff_t row_stride, column_stride, map_stride = 0, last_map = PTRDIFF_MAX;

  P* at(ptrdiff_t row, ptrdiff_t column) const { return data + row * row_stride + column * column_stride; }
  ptrdiff_t offset(ptrdiff_t v) const { return std::min(v * map_stride, last_map); }
  operator Maps<const P>() const { return {data, rows, columns, row_stride, column_stride, map_stride, last_map}; }
};

// One image of a channels-last tensor, its last vector of channels overlapping the one before.
template <typename P>
Maps<P> image(const Tensor4<P>& t, int b) {
  constexpr int lanes = kLanes<std::remove_const_t<P>>;
  return {t.data + b * t.sb, t.rows, t.columns, t.sy, t.sx, lanes, t.channels - lanes};
}

// A map in `buffer`, its vectors side by side.
template <typename T>
Maps<T> dense_map(std::vector<T>& buffer, int rows, int columns) {
  const ptrdiff_t row_stride = static_cast<ptrdiff_t>(columns) * kLanes<T>;
  if (buffer.size() < static_cast<size_t>(rows * row_stride)) buffer.resize(rows * row_stride);
  return {buffer.data(), rows, columns, row_stride, kLanes<T>};
}

// Calls f(width, first column) for strips of at most 8 columns, their width a compile-time constant: sums of a strip
// stay in registers. A row is one strip, or several of at least 4 columns.
template <typename F>
inline void each_strip(int columns, F&& f) {
  const int strips = ceil_div(columns, 8);
  for (int s = 0; s < strips; ++s) {
    const int q0 = columns * s / strips;
    switch (columns * (s + 1) / strips - q0) {
      case 1: f(std::integral_constant<int, 1>(), q0); break;
      case 2: f(std::integral_constant<int, 2>(), q0); break;
      case 3: f(std::integral_constant<int, 3>(), q0); break;
      case 4: f(std::integral_constant<int, 4>(), q0); break;
      case 5: f(std::integral_constant<int, 5>(), q0); break;
      case 6: f(std::integral_constant<int, 6>(), q0); break;
      case 7: f(std::integral_constant<int, 7>(), q0); break;
      case 8: f(std::integral_constant<int, 8>(), q0); break;
    }
  }
}

// Packed weights [image][vector of channels][kh][kw][lane]; where all images share theirs there is one.
template <typename T>
struct Kernels {
  std::vector<T> data;
  size_t image_stride;

  const T* of(int b) const { return data.data() + b * image_stride; }
};

// Packs a weight (B, C, kh, kw) or, for all images, (1, C, kh, kw), turned by 180 degrees where asked.
template <typename T>
Kernels<T> pack_weight(const Tensor4<const T>& weight, const Channels<T>& channels, bool turned) {
  const int taps = weight.rows * weight.columns;
  const size_t image = static_cast<size_t>(channels.vectors()) * taps * kLanes<T>;
  Kernels<T> packed{std::vector<T>(weight.batch * image), weight.batch == 1 ? 0 : image};
  T* to = packed.data.data();
  for (int b = 0; b < weight.batch; ++b)
    for (int v = 0; v < channels.vectors(); ++v, to += taps * kLanes<T>)
      for (int l = 0; l < channels.count(v); ++l) {
        const T* from = weight.data + b * weight.sb + (channels.first(v) + l) * weight.sc;
        for (int t = 0; t < taps; ++t)
          to[(turned ? taps - 1 - t : t) * kLanes<T> + l] =
              from[t / weight.columns * weight.sy + t % weight.columns * weight.sx];
      }
  return packed;
}

template <typename T>
std::vector<T> pack_bias(const T* bias, const Channels<T>& channels) {
  std::vector<T> packed(static_cast<size_t>(channels.vectors()) * kLanes<T>);
  for (int v = 0; bias && v < channels.vectors(); ++v)
    std::copy_n(bias + channels.first(v), channels.count(v), packed.begin() + v * kLanes<T>);
  return packed;
}

}  // namespace
}  // namespace native::depthwise
