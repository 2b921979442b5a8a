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

// to (columns x rows) = the transpose of from (rows x columns), both dense; added to it with kAdd.
template <typename T, bool kAdd = false>
void transpose(const T* from, int rows, int columns, T* to) {
  constexpr int lanes = simd::kLanes<T>;
  alignas(64) T block[lanes * lanes];
  for (int r = 0; r < rows; r += lanes) {
    const int some = std::min(lanes, rows - r);
    for (int c = 0; c < columns; c += lanes) {
      const T* const corner = from + static_cast<std::ptrdiff_t>(r) * columns + c;
      const int wide = std::min(lanes, columns - c);
      if (wide == lanes) {
        simd::transpose_block(corner, columns, some, block, lanes);
      } else {
        for (int j = 0; j < wide; ++j) {
          for (int i = 0; i < some; ++i) block[j * lanes + i] = corner[static_cast<std::ptrdiff_t>(i) * columns + j];
        }
      }
      for (int j = 0; j < wide; ++j) {
        T* const row = to + static_cast<std::ptrdiff_t>(c + j) * rows + r;
        for (int i = 0; i < some; ++i) row[i] = kAdd ? row[i] + block[j * lanes + i] : block[j * lanes + i];
      }
    }
  }
}

}  // namespace paths
