// Query attention, forward and backward, on the rows of a packed batch. In the forward pass a task is a block of queries
// of one image: it goes through the heads one by one, so that only one head's scores of a block are in memory while their
// sum over heads goes to its own columns of the result. In the backward pass a task is one head of one image.
#include "block_attention.h"
#include "native.h"
#include "parallel.h"
#include "query_tokens.h"

namespace {

using native::Array;
using query_tokens::Tokens;
using query_tokens::Vectors;
using simd::Buffer;
using simd::padded;

constexpr int kQueries = 64;  // the most of a task: their scores of a thousand tokens stay in the cache

struct Problem {
  int images, queries, heads, depth, width, most;  // `most`: tokens of the longest image
  bool shared;                                     // all images have the same queries
  const std::int64_t* offsets;

  template <typename T>
  Problem(const Array<T>& query, const Array<T>& value, const Array<std::int64_t>& offsets)
      : images(offsets.shape(0) - 1), queries(query.shape(1)), heads(query.shape(2)), depth(query.shape(3)),
        width(value.shape(2)), most(0), shared(query.shape(0) == 1), offsets(offsets.data()) {
    for (int image = 0; image < images; ++image) most = std::max(most, count(image));
  }

  std::ptrdiff_t first(int image) const { return offsets[image]; }
  int count(int image) const { return static_cast<int>(offsets[image + 1] - offsets[image]); }

  template <typename T>
  std::size_t scores(int queries) const { return static_cast<std::size_t>(most) * padded<T>(queries); }
  template <typename T>
  std::size_t packed() const { return static_cast<std::size_t>(most) * padded<T>(std::max(depth, width)); }
};

// Where query `q` of an image and a head begins in a (B or 1, Q, heads, d) tensor.
template <typename T>
T* at(const Array<T>& x, int image, int q, int head) {
  return x.data() + image * x.stride(0) + q * x.stride(1) + head * x.stride(2);
}

template <typename T>
struct Forward {
  const Problem& p;
  const Array<T>&query, &key, &value, &values, &scores, &logs;
  T scale;

  int blocks() const { return (p.queries + kQueries - 1) / kQueries; }
  std::size_t vectors() const { return Vectors<T>::size(kQueries, p.depth); }
  std::size_t pooled() const { return static_cast<std::size_t>(kQueries) * padded<T>(p.width); }
  std::size_t room() const {
    return padded<T>(vectors() + p.scores<T>(kQueries) + p.packed<T>() + pooled() + 2 * padded<T>(kQueries));
  }

  void operator()(int task, T* base) const {
    const int image = task / blocks(), block = task % blocks();
    const int first = p.queries * block / blocks(), own = p.queries * (block + 1) / blocks() - first;
    T* const weights = base + vectors();
    T* const space = weights + p.scores<T>(kQueries);
    T* const sums = space + p.packed<T>();
    T* const norm = sums + pooled();
    T* const logarithm = norm + padded<T>(kQueries);
    for (int head = 0; head < p.heads; ++head) {
      if (p.count(image) == 0) {
        nothing(image, first, own, head);
        continue;
      }
      std::fill(base, base + vectors(), T(0));
      const Vectors<T> q(base, own, p.depth);
      q.pack(at(query, p.shared ? 0 : image, first, head), query.stride(1), query.stride(3), p.depth, scale);
      query_tokens::products(Tokens<T>(key, p.first(image), p.count(image), head, own), q, weights);
      add(weights, q.tall, image, first, own, head);
      block_attention::exponentials(weights, p.count(image), q.tall, norm, logarithm);
      query_tokens::pool(weights, q.tall, Tokens<T>(value, p.first(image), p.count(image), head, own), space, sums);
      for (int i = 0; i < own; ++i) {
        T* const to = at(values, image, first + i, head);
        const T* const from = sums + static_cast<std::ptrdiff_t>(i) * padded<T>(p.width);
        for (int c = 0; c < p.width; ++c) to[c] = from[c] / norm[i];
        *at(logs, image, first + i, head) = logarithm[i];
      }
    }
  }

  // Adds one head's raw scores (tokens, tall) to the columns of the block; after the last head makes them a mean.
  void add(const T* raw, int tall, int image, int first, int own, int head) const {
    const T factor = head + 1 == p.heads ? T(1) / p.heads : T(1);
    for (int n = 0; n < p.count(image); ++n, raw += tall) {
      T* const to = scores.data() + (p.first(image) + n) * scores.stride(0) + first;
      if (head == 0) {
        for (int i = 0; i < own; ++i) to[i] = factor * raw[i];
      } else {
        for (int i = 0; i < own; ++i) to[i] = factor * (to[i] + raw[i]);
      }
    }
  }

  void nothing(int image, int first, int own, int head) const {
    for (int i = first; i < first + own; ++i) {
      T* const to = at(values, image, i, head);
      std::fill(to, to + p.width, T(0));
      *at(logs, image, i, head) = T(0);
    }
  }
};

template <typename T>
void forward(const Array<T>& query, const Array<T>& key, const Array<T>& value, const Array<std::int64_t>& offsets,
             const Array<T>& values, const Array<T>& scores, const Array<T>& logs, double scale, int threads) {
  const Problem p(query, value, offsets);
  const Forward<T> run{p, query, key, value, values, scores, logs, static_cast<T>(scale)};
  const std::size_t room = run.room();
  const Buffer<T> scratch(room * threads);
  parallel::run(p.images * run.blocks(), threads,
                [&](int task, int thread) { run(task, scratch.data() + room * thread); });
}

template <typename T>
struct Backward {
  const Problem& p;
  const Array<T>&flow, &slope, &query, &key, &value, &logs;
  const std::optional<Array<T>>&grad_key, &grad_value;
  T scale;

  std::size_t vectors() const { return Vectors<T>::size(p.queries, p.depth) + Vectors<T>::size(p.queries, p.width); }
  std::size_t room() const {
    return padded<T>(vectors() + 2 * p.scores<T>(p.queries) + p.packed<T>() + padded<T>(p.queries));
  }

  // The gradients of one head of an image's tokens and, where there is room for it, of its queries before the scale.
  void operator()(int image, int head, T* base, T* grad_query) const {
    const int count = p.count(image);
    if (count == 0) return;
    const Vectors<T> q(base, p.queries, p.depth);
    const Vectors<T> back(base + Vectors<T>::size(p.queries, p.depth), p.queries, p.width);
    T* const weights = base + vectors();
    T* const slopes = weights + p.scores<T>(p.queries);
    T* const space = slopes + p.scores<T>(p.queries);
    T* const logarithm = space + p.packed<T>();
    q.pack(at(query, p.shared ? 0 : image, 0, head), query.stride(1), query.stride(3), p.depth, scale);
    back.pack(at(flow, image, 0, head), flow.stride(1), flow.stride(3), p.width, T(1));
    for (int i = 0; i < p.queries; ++i) logarithm[i] = *at(logs, image, i, head);
    const Tokens<T> keys(key, p.first(image), count, head, p.queries);
    query_tokens::products(keys, q, weights);
    query_tokens::products(Tokens<T>(value, p.first(image), count, head, p.queries), back, slopes);
    block_attention::softmax_backward(weights, slopes, count, q.tall, logarithm);
    for (int n = 0; n < count; ++n) {
      const T* const from = slope.data() + (p.first(image) + n) * slope.stride(0);
      T* const to = slopes + static_cast<std::ptrdiff_t>(n) * q.tall;
      for (int i = 0; i < p.queries; ++i) to[i] += from[i * slope.stride(1)] / p.heads;
    }
    if (grad_value) {
      query_tokens::spread(weights, back, space, Tokens<T>(*grad_value, p.first(image), count, head, p.queries));
    }
    if (grad_key) {
      query_tokens::spread(slopes, q, space, Tokens<T>(*grad_key, p.first(image), count, head, p.queries));
    }
    if (grad_query) query_tokens::pool(slopes, q.tall, keys, space, grad_query);
  }
};

// Writes the gradient of the queries; where all images have the same, the sum over images, always in their order.
template <typename T>
void gather(const Problem& p, const T* parts, T scale, const Array<T>& grad_query) {
  const int wide = padded<T>(p.depth);
  for (int to = 0; to < static_cast<int>(grad_query.shape(0)); ++to) {
    for (int head = 0; head < p.heads; ++head) {
      for (int q = 0; q < p.queries; ++q) {
        T* const row = at(grad_query, to, q, head);
        for (int c = 0; c < p.depth; ++c) {
          T total = 0;
          for (int from = p.shared ? 0 : to; from < (p.shared ? p.images : to + 1); ++from) {
            total += parts[((static_cast<std::ptrdiff_t>(from) * p.heads + head) * p.queries + q) * wide + c];
          }
          row[c * grad_query.stride(3)] = scale * total;
        }
      }
    }
  }
}

template <typename T>
void backward(const Array<T>& flow, const Array<T>& slope, const Array<T>& query, const Array<T>& key,
              const Array<T>& value, const Array<std::int64_t>& offsets, const Array<T>& logs,
              const std::optional<Array<T>>& grad_query, const std::optional<Array<T>>& grad_key,
              const std::optional<Array<T>>& grad_value, double scale, int threads) {
  const Problem p(query, value, offsets);
  const Backward<T> run{p, flow, slope, query, key, value, logs, grad_key, grad_value, static_cast<T>(scale)};
  const std::size_t room = run.room(), part = static_cast<std::size_t>(p.queries) * padded<T>(p.depth);
  const int tasks = p.images * p.heads;
  const Buffer<T> scratch(room * threads), parts(grad_query ? part * tasks + 1 : 1);
  parallel::run(tasks, threads, [&](int task, int thread) {
    run(task / p.heads, task % p.heads, scratch.data() + room * thread,
        grad_query ? parts.data() + part * task : nullptr);
  });
  if (grad_query) gather(p, parts.data(), static_cast<T>(scale), *grad_query);
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("query_attention_forward", &forward<T>, "query"_a.noconvert(), "key"_a.noconvert(), "value"_a.noconvert(),
        "offsets"_a.noconvert(), "values"_a.noconvert(), "scores"_a.noconvert(), "logs"_a.noconvert(), "scale"_a,
        "threads"_a, release);
  m.def("query_attention_backward", &backward<T>, "flow"_a.noconvert(), "slope"_a.noconvert(), "query"_a.noconvert(),
        "key"_a.noconvert(), "value"_a.noconvert(), "offsets"_a.noconvert(), "logs"_a.noconvert(),
        "grad_query"_a.noconvert().none(), "grad_key"_a.noconvert().none(), "grad_value"_a.noconvert().none(),
        "scale"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
