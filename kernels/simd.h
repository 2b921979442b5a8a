// Vectors of the width that this build's instruction set has, and what the dense inner loops share: aligned scratch,
// exp and a small matrix product. GCC and Clang vector extensions only, so that every architecture compiles.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace simd {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <typename T>
struct Of {
  typedef T type __attribute__((vector_size(kBytes)));
};
template <typename T>
using Vec = typename Of<T>::type;
template <typename T>
constexpr int kLanes = kBytes / static_cast<int>(sizeof(T));

template <typename T>
inline Vec<T> load(const T* from) {
  Vec<T> vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

template <typename T>
inline void store(T* to, const Vec<T>& vector) {
  std::memcpy(to, &vector, sizeof vector);
}

// `count` rounded up to whole vectors of T.
template <typename T>
constexpr int padded(int count) {
  return (count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

// Calls f with std::integral_constant<int, n>, for 1 <= n <= Most: turns a run-time size into a compile-time one.
template <int Most, typename F>
inline void with_constant(int n, F&& f) {
  if (n == Most) {
    f(std::integral_constant<int, Most>{});
  } else if constexpr (Most > 1) {
    with_constant<Most - 1>(n, f);
  }
}

// Scratch memory on cache lines, zeroed, so that padding never holds NaN or denormal numbers.
template <typename T>
class Buffer {
 public:
  explicit Buffer(std::size_t count) : data_(new (std::align_val_t{64}) T[count]()) {}
  T* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* data) const { ::operator delete[](data, std::align_val_t{64}); }
  };
  std::unique_ptr<T[], Free> data_;
};

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SIMD_SHUFFLES 1
#endif
#endif

#ifdef SIMD_SHUFFLES
// The lanes of two vectors by turns: those of their lower halves, or of their upper ones.
template <typename T, int From, std::size_t... I>
inline Vec<T> interleaved(const Vec<T>& a, const Vec<T>& b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, (From + static_cast<int>(I) / 2 + (I % 2 ? kLanes<T> : 0))...);
}
#endif

// to[c * to_row + i] = from[i * from_row + c] for kLanes columns c of `count` rows i, at most kLanes; what follows them in
// a row of `to` is overwritten up to a whole vector.
template <typename T>
inline void transpose_block(const T* from, std::ptrdiff_t from_row, int count, T* to, std::ptrdiff_t to_row) {
  constexpr int lanes = kLanes<T>;
#ifdef SIMD_SHUFFLES
  Vec<T> rows[lanes], next[lanes];
  if (count == lanes) {
    for (int i = 0; i < lanes; ++i) rows[i] = load(from + i * from_row);
  } else {
    for (int i = 0; i < lanes; ++i) rows[i] = i < count ? load(from + i * from_row) : Vec<T>{};
  }
  for (int done = 1; done < lanes; done *= 2) {  // a perfect shuffle of all lanes each time
    for (int i = 0; i < lanes / 2; ++i) {
      next[2 * i] = interleaved<T, 0>(rows[i], rows[i + lanes / 2], std::make_index_sequence<lanes>{});
      next[2 * i + 1] = interleaved<T, lanes / 2>(rows[i], rows[i + lanes / 2], std::make_index_sequence<lanes>{});
    }
    for (int i = 0; i < lanes; ++i) rows[i] = next[i];
  }
  for (int c = 0; c < lanes; ++c) store(to + c * to_row, rows[c]);
#else
  for (int c = 0; c < lanes; ++c) {
    for (int i = 0; i < count; ++i) to[c * to_row + i] = from[i * from_row + c];
  }
#endif
}

// exp(x) for x <= 0, to about one unit in the last place; below the smallest normal number the result is 0.
inline Vec<float> exp_nonpositive(Vec<float> x) {
  typedef std::uint32_t Bits __attribute__((vector_size(kBytes)));
  constexpr float log2e = 1.44269504088896341f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  constexpr float round = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which is left in the low bits
  const Vec<float> shifted = x * log2e + round;
  const Vec<float> n = shifted - round;
  const Vec<float> r = (x - n * ln2_high) - n * ln2_low;
  Vec<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * r) * r + r + 1.0f;
  const Vec<float> power = (Vec<float>)(((Bits)shifted << 23) + 0x3f800000u);
  const Bits underflow = (Bits)(x < -87.33f);
  return (Vec<float>)((Bits)(p * power) & ~underflow);
}

inline Vec<double> exp_nonpositive(Vec<double> x) {
  for (int lane = 0; lane < kLanes<double>; ++lane) x[lane] = std::exp(x[lane]);
  return x;
}

// x[0] with x[1], and so on, by halves: combine(low half, high half) down to one number.
template <typename T, int Count, typename Combine>
inline T fold(const T (&x)[Count], Combine&& combine) {
  if constexpr (Count == 1) {
    return x[0];
  } else {
    T half[Count / 2];
    for (int i = 0; i < Count / 2; ++i) half[i] = combine(x[i], x[i + Count / 2]);
    return fold(half, combine);
  }
}

template <typename T>
inline T sum(const Vec<T>& x) {
  T lanes[kLanes<T>];
  store(lanes, x);
  return fold(lanes, [](T a, T b) { return a + b; });
}

// x := exp(x - max x) over `count` numbers, a multiple of the vector width; returns their sum.
template <typename T>
[[gnu::noinline]] T exponentials(T* x, int count) {
  Vec<T> top = load(x);
  for (int i = kLanes<T>; i < count; i += kLanes<T>) {
    const Vec<T> next = load(x + i);
    top = next > top ? next : top;
  }
  T lanes[kLanes<T>];
  store(lanes, top);
  const T largest = fold(lanes, [](T a, T b) { return a > b ? a : b; });
  Vec<T> total = {};
  for (int i = 0; i < count; i += kLanes<T>) {
    const Vec<T> e = exp_nonpositive(load(x + i) - largest);
    total += e;
    store(x + i, e);
  }
  return sum<T>(total);
}

// A matrix whose element (i, j) is data[i * row + j * column].
template <typename T>
struct Matrix {
  const T* data;
  std::ptrdiff_t row, column;
};

template <typename T, int M, int N>
inline void multiply_block(int depth, Matrix<T> a, const T* b, std::ptrdiff_t b_row, T* c, std::ptrdiff_t c_row,
                           bool accumulate) {
  Vec<T> total[M][N] = {};
  if (accumulate) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) total[m][n] = load(c + m * c_row + n * kLanes<T>);
    }
  }
  for (int k = 0; k < depth; ++k) {
    Vec<T> right[N];
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) right[n] = load(b + k * b_row + n * kLanes<T>);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const T left = a.data[m * a.row + k * a.column];
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) total[m][n] += left * right[n];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) store(c + m * c_row + n * kLanes<T>, total[m][n]);
  }
}

template <typename T, int M>
[[gnu::noinline]] void multiply_rows(int columns, int depth, Matrix<T> a, const T* b, std::ptrdiff_t b_row, T* c,
                                     std::ptrdiff_t c_row, bool accumulate) {
  int j = 0;
  for (; j + 2 * kLanes<T> <= columns; j += 2 * kLanes<T>) {
    multiply_block<T, M, 2>(depth, a, b + j, b_row, c + j, c_row, accumulate);
  }
  if (j < columns) multiply_block<T, M, 1>(depth, a, b + j, b_row, c + j, c_row, accumulate);
}

// c (rows x columns) = a (rows x depth) b (depth x columns), or += with `accumulate`. b and c have unit column stride
// and `columns` is a multiple of the vector width. Every element is summed in the order of k.
template <typename T>
inline void multiply(int rows, int columns, int depth, Matrix<T> a, const T* b, std::ptrdiff_t b_row, T* c,
                     std::ptrdiff_t c_row, bool accumulate) {
  constexpr int most = 6;
  const int blocks = (rows + most - 1) / most;
  for (int block = 0; block < blocks; ++block) {
    const int first = rows * block / blocks, last = rows * (block + 1) / blocks;
    with_constant<most>(last - first, [&](auto count) {
      multiply_rows<T, count>(columns, depth, {a.data + first * a.row, a.row, a.column}, b, b_row, c + first * c_row,
                              c_row, accumulate);
    });
  }
}

}  // namespace simd
