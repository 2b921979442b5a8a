// Tiles: some positions of one vector of channels of a (..., C, L) tensor, a vector of lanes for each position.
#pragma once

#include "simd.h"

#include <cstdint>

namespace simd {

// `length` positions of `channels` channels, at most a vector of them.
template <typename T>
struct Strip {
  T* data;
  std::ptrdiff_t channel, position;  // strides
  int channels;

  Strip from(std::ptrdiff_t first) const { return {data + first * position, channel, position, channels}; }
};

// Reads a strip into a tile; lanes beyond the last channel are 0.
template <typename T>
void read_tile(const Strip<const T>& from, int length, T* tile) {
  constexpr int lanes = kLanes<T>;
  if (from.channels < lanes) std::memset(tile, 0, length * lanes * sizeof(T));
  if (from.channel == 1 && from.channels == lanes) {
    for (int l = 0; l < length; ++l) store(tile + l * lanes, load(from.data + l * from.position));
  } else if (from.position == 1) {
    int l = 0;
    for (; l + lanes <= length; l += lanes) {
      transpose_block(from.data + l, from.channel, from.channels, tile + l * lanes, lanes);
    }
    if (l < length) {  // whole vectors would reach beyond the last position
      T rows[lanes * lanes] = {}, turned[lanes * lanes] = {};
      for (int c = 0; c < from.channels; ++c) {
        std::memcpy(rows + c * lanes, from.data + c * from.channel + l, (length - l) * sizeof(T));
      }
      transpose_block(rows, lanes, from.channels, turned, lanes);
      std::memcpy(tile + l * lanes, turned, (length - l) * lanes * sizeof(T));
    }
  } else {
    for (int l = 0; l < length; ++l) {
      for (int c = 0; c < from.channels; ++c) {
        tile[l * lanes + c] = from.data[c * from.channel + l * from.position];
      }
    }
  }
}

// Writes a tile to a strip; lanes beyond the last channel are left out.
template <typename T>
void write_tile(const T* tile, int length, const Strip<T>& to) {
  constexpr int lanes = kLanes<T>;
  if (to.channel == 1 && to.channels == lanes) {
    for (int l = 0; l < length; ++l) store(to.data + l * to.position, load(tile + l * lanes));
  } else if (to.position == 1) {
    int l = 0;
    for (; to.channels == lanes && l + lanes <= length; l += lanes) {
      transpose_block(tile + l * lanes, lanes, lanes, to.data + l, to.channel);
    }
    for (; l < length; l += lanes) {
      T rows[lanes * lanes];
      const int count = std::min(lanes, length - l);
      transpose_block(tile + l * lanes, lanes, count, rows, lanes);
      for (int c = 0; c < to.channels; ++c) {
        std::memcpy(to.data + c * to.channel + l, rows + c * lanes, count * sizeof(T));
      }
    }
  } else {
    for (int l = 0; l < length; ++l) {
      for (int c = 0; c < to.channels; ++c) to.data[c * to.channel + l * to.position] = tile[l * lanes + c];
    }
  }
}

// place(i) += the sum of the lanes of vector i, for `count` vectors.
template <typename T, typename Place>
void add_lane_sums(const T* vectors, int count, Place&& place) {
  constexpr int lanes = kLanes<T>;
  T turned[lanes * lanes] = {};
  for (int first = 0; first < count; first += lanes) {
    const int some = std::min(lanes, count - first);
    transpose_block(vectors + first * lanes, lanes, some, turned, lanes);
    Vec<T> sums[lanes];
    for (int c = 0; c < lanes; ++c) sums[c] = load(turned + c * lanes);
    const Vec<T> total = fold(sums, [](const Vec<T>& a, const Vec<T>& b) { return a + b; });
    for (int i = 0; i < some; ++i) place(first + i) += total[i];
  }
}

}  // namespace simd
