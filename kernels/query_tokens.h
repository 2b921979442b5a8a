// Few queries over many tokens: three products of tokens with one vector a query (their dot products, their weighted
// sums over tokens, and the weighted sums of the vectors back onto the tokens). Scores are laid out (tokens, queries).
#pragma once

#include <algorithm>

#include "block_attention.h"
#include "native.h"

namespace query_tokens {

using native::Array;
using simd::kLanes;
using simd::load;
using simd::padded;
using simd::store;
using simd::Vec;

// The tokens of one image: vectors of `width` numbers in `groups` groups, each read by `own` queries of the `queries`.
template <typename T>
struct Tokens {
  T* data;
  std::ptrdiff_t token, group, channel;
  int count, groups, width, own;

  // Those of one image of a (B, N, G, d) tensor.
  Tokens(const Array<T>& x, int image, int queries)
      : data(x.data() + image * x.stride(0)), token(x.stride(1)), group(x.stride(2)), channel(x.stride(3)),
        count(x.shape(1)), groups(x.shape(2)), width(x.shape(3)), own(queries / groups) {}

  // Those of one head of a packed (T, heads, d) tensor, from a first one on; all queries read them.
  Tokens(const Array<T>& x, std::ptrdiff_t first, int count, int head, int queries)
      : data(x.data() + first * x.stride(0) + head * x.stride(1)), token(x.stride(0)), group(0), channel(x.stride(2)),
        count(count), groups(1), width(x.shape(2)), own(queries) {}

  T* at(int n, int g) const { return data + n * token + g * group; }
  bool in_rows() const { return channel == 1 && width % kLanes<T> == 0; }
};

// One vector for each query, as rows (queries, padded width) and as columns (width, padded queries).
template <typename T>
struct Vectors {
  T *rows, *columns;
  int queries, wide, tall;

  static std::size_t size(int queries, int width) {
    return static_cast<std::size_t>(queries) * padded<T>(width) + static_cast<std::size_t>(width) * padded<T>(queries);
  }

  Vectors(T* room, int queries, int width)
      : rows(room), columns(room + static_cast<std::size_t>(queries) * padded<T>(width)), queries(queries),
        wide(padded<T>(width)), tall(padded<T>(queries)) {}

  T* row(int q) const { return rows + static_cast<std::ptrdiff_t>(q) * wide; }

  // Reads the (queries, width) matrix of one image, times `factor`; padding stays zero.
  void pack(const Array<T>& from, int image, T factor) const {
    pack(from.data() + image * from.stride(0), from.stride(1), from.stride(2), from.shape(2), factor);
  }

  void pack(const T* from, std::ptrdiff_t step, std::ptrdiff_t channel, int width, T factor) const {
    for (int q = 0; q < queries; ++q) {
      for (int c = 0; c < width; ++c) row(q)[c] = factor * from[q * step + c * channel];
    }
    for (int c = 0; c < width; ++c) {
      for (int q = 0; q < queries; ++q) columns[static_cast<std::ptrdiff_t>(c) * tall + q] = row(q)[c];
    }
  }
};

template <typename T>
T dot(const T* x, std::ptrdiff_t step, const T* y, int count) {
  constexpr int lanes = kLanes<T>;
  Vec<T> even = {}, odd = {};
  int c = 0;
  if (step == 1) {
    for (; c + 2 * lanes <= count; c += 2 * lanes) {
      even += load(x + c) * load(y + c);
      odd += load(x + c + lanes) * load(y + c + lanes);
    }
  }
  T total = simd::sum<T>(even + odd);
  for (; c < count; ++c) total += x[c * step] * y[c];
  return total;
}

// scores (tokens, tall) = the dot products of tokens and vectors; what is beyond the queries is finite.
template <typename T>
void products(const Tokens<T>& x, const Vectors<T>& y, T* scores) {
  const int tall = y.tall;
  if ((x.groups == 1 && 2 * y.queries > kLanes<T>) || x.own % kLanes<T> == 0) {
    for (int g = 0; g < x.groups; ++g) {
      simd::multiply<T>(x.count, x.groups == 1 ? tall : x.own, x.width, {x.at(0, g), x.token, x.channel},
                        y.columns + g * x.own, tall, scores + g * x.own, tall, false);
    }
    return;
  }
  for (int n = 0; n < x.count; ++n) {
    T* const to = scores + static_cast<std::ptrdiff_t>(n) * tall;
    for (int q = 0; q < y.queries; ++q) to[q] = dot(x.at(n, q / x.own), x.channel, y.row(q), x.width);
    std::fill(to + y.queries, to + tall, T(0));
  }
}

// out := the sum of the rows of x, each times its weight, four at a time.
template <typename T>
void weighted_sum(const T* weights, int step, const T* x, std::ptrdiff_t row, int count, int width, T* out) {
  std::fill(out, out + width, T(0));
  int n = 0;
  for (; n + 4 <= count; n += 4) {
    const T* const from = x + n * row;
    const T* const w = weights + static_cast<std::ptrdiff_t>(n) * step;
    const T a = w[0], b = w[step], c = w[2 * step], d = w[3 * step];
    for (int i = 0; i < width; i += kLanes<T>) {
      store(out + i, load(out + i) + (a * load(from + i) + b * load(from + row + i)) +
                         (c * load(from + 2 * row + i) + d * load(from + 3 * row + i)));
    }
  }
  for (; n < count; ++n) {
    const T a = weights[static_cast<std::ptrdiff_t>(n) * step];
    for (int i = 0; i < width; i += kLanes<T>) store(out + i, load(out + i) + a * load(x + n * row + i));
  }
}

// out (queries, wide) = for each query, the sum of its tokens weighted by its column of scores (tokens, tall).
template <typename T>
void pool(const T* scores, int tall, const Tokens<T>& x, T* packed, T* out) {
  const int wide = padded<T>(x.width);
  for (int g = 0; g < x.groups; ++g) {
    const T* rows = x.at(0, g);
    std::ptrdiff_t row = x.token;
    if (!x.in_rows()) {
      for (int n = 0; n < x.count; ++n) {
        for (int c = 0; c < x.width; ++c) packed[static_cast<std::ptrdiff_t>(n) * wide + c] = x.at(n, g)[c * x.channel];
      }
      rows = packed, row = wide;
    }
    const T* const weights = scores + g * x.own;
    T* const to = out + static_cast<std::ptrdiff_t>(g) * x.own * wide;
    if (x.own == 1) {
      weighted_sum(weights, tall, rows, row, x.count, wide, to);
    } else {
      simd::multiply<T>(x.own, wide, x.count, {weights, 1, tall}, rows, row, to, wide, false);
    }
  }
}

// to := for each token, the sum of its queries' vectors weighted by its row of scores (tokens, tall).
template <typename T>
void spread(const T* scores, const Vectors<T>& y, T* packed, const Tokens<T>& to) {
  for (int g = 0; g < to.groups; ++g) {
    const bool direct = to.in_rows();
    T* const rows = direct ? to.at(0, g) : packed;
    simd::multiply<T>(to.count, y.wide, to.own, {scores + g * to.own, y.tall, 1}, y.row(g * to.own), y.wide, rows,
                      direct ? to.token : y.wide, false);
    if (direct) continue;
    for (int n = 0; n < to.count; ++n) {
      const T* const from = packed + static_cast<std::ptrdiff_t>(n) * y.wide;
      for (int c = 0; c < to.width; ++c) to.at(n, g)[c * to.channel] = from[c];
    }
  }
}

}  // namespace query_tokens
