// The paths of the cross-scan over a map of rows and columns: direction 0 goes along rows, 1 along columns, and 2 and 3
// are the same from the end.
#pragma once

#include "simd.h"

#include <array>
#include <vector>

namespace paths {

using Directions = std::array<int, 4>;

// The directions of the four sequences, in the order of `SCANS` in cross_scan/reference.py.
inline Directions directions(int scans) {
  constexpr Directions all[] = {{0, 1, 2, 3}, {0, 0, 0, 0}, {0, 0, 2, 2}};
  return all[scans];
}

inline bool along_columns(int direction) { return direction % 2 == 1; }
inline bool from_the_end(int direction) { return direction >= 2; }

// The positions of a map, row by row, in the order of a direction.
inline std::vector<int> path(int direction, int height, int width) {
  const int length = height * width;
  std::vector<int> found(length);
  for (int l = 0; l < length; ++l) {
    const int step = from_the_end(direction) ? length - 1 - l : l;
    found[l] = along_columns(direction) ? step % height * width + step / height : step;
  }
  return found;
}

// to (columns x rows) = the transpose of from (rows x columns), both dense.
template <typename T>
void transpose(const T* from, int rows, int columns, T* to) {
  constexpr int lanes = simd::kLanes<T>;
  alignas(64) T block[lanes * lanes] = {}, turned[lanes * lanes] = {};
  for (int r = 0; r < rows; r += lanes) {
    const int high = std::min(lanes, rows - r);
    for (int c = 0; c < columns; c += lanes) {
      const int wide = std::min(lanes, columns - c);
      const T* const corner = from + static_cast<std::ptrdiff_t>(r) * columns + c;
      T* const target = to + static_cast<std::ptrdiff_t>(c) * rows + r;
      if (high == lanes && wide == lanes) {
        simd::transpose_block(corner, columns, lanes, target, rows);
      } else {  // whole vectors would reach into the next row
        for (int i = 0; i < high; ++i) {
          std::memcpy(block + i * lanes, corner + static_cast<std::ptrdiff_t>(i) * columns, wide * sizeof(T));
        }
        simd::transpose_block(block, lanes, lanes, turned, lanes);
        for (int j = 0; j < wide; ++j) {
          std::memcpy(target + static_cast<std::ptrdiff_t>(j) * rows, turned + j * lanes, high * sizeof(T));
        }
      }
    }
  }
}

}  // namespace paths
