// Rows that are alive, packed and put back: copies of whole rows. Their places follow from a mask.
#pragma once

#include <cstring>

#include "native.h"
#include "parallel.h"

namespace packed_rows {

using native::Array;

constexpr int kRows = 32;  // of a task

// For each entry of a mask the number of its row among those that are alive, or -1; and their number.
struct Ranks {
  std::vector<std::int64_t> of;
  std::int64_t alive = 0;

  explicit Ranks(const Array<std::uint8_t>& mask) : of(mask.shape(0)) {
    for (std::size_t i = 0; i < of.size(); ++i) of[i] = mask.data()[i * mask.stride(0)] ? alive++ : -1;
  }
};

// Row `row` of a matrix.
template <typename T>
struct Row {
  T* data;
  std::ptrdiff_t step;

  Row(const Array<T>& matrix, std::int64_t row) : data(matrix.data() + row * matrix.stride(0)), step(matrix.stride(1)) {}
};

template <typename T>
void copy(const Row<T>& from, const Row<T>& to, int width) {
  if (from.step == 1 && to.step == 1) {
    std::memcpy(to.data, from.data, width * sizeof(T));
  } else {
    for (int c = 0; c < width; ++c) to.data[c * to.step] = from.data[c * from.step];
  }
}

template <typename T>
void clear(const Row<T>& to, int width) {
  for (int c = 0; c < width; ++c) to.data[c * to.step] = T(0);
}

// Calls f(row) for every row of a matrix.
template <typename F>
void for_rows(std::int64_t rows, int threads, F&& f) {
  parallel::run(static_cast<int>((rows + kRows - 1) / kRows), threads, [&](int task, int) {
    const std::int64_t first = static_cast<std::int64_t>(task) * kRows;
    for (std::int64_t row = first; row < std::min(first + kRows, rows); ++row) f(row);
  });
}

}  // namespace packed_rows
