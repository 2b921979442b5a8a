// Attentive pooling, forward and backward. A task is one image: the scores of all its queries, laid out (tokens,
// queries), are the only ones in memory. Everything is made of three products of tokens with one vector a query: their
// dot products, their weighted sums over tokens, and the weighted sums of the vectors back onto the tokens.
#include "block_attention.h"
#include "native.h"
#include "parallel.h"
#include "query_tokens.h"

namespace {

using block_attention::exponentials;
using block_attention::softmax_backward;
using native::Array;
using query_tokens::pool;
using query_tokens::products;
using query_tokens::spread;
using query_tokens::Tokens;
using query_tokens::Vectors;
using simd::Buffer;
using simd::padded;

// The sizes of a problem, and the scratch memory that a thread takes.
struct Problem {
  int images, tokens, queries, depth, channels;
  bool shared;  // all images have the same queries

  template <typename T>
  Problem(const Array<T>& query, const Array<T>& key, const Array<T>& value)
      : images(key.shape(0)), tokens(key.shape(1)), queries(query.shape(1)), depth(key.shape(3)),
        channels(value.shape(3)), shared(query.shape(0) == 1) {}

  template <typename T>
  std::size_t scores() const { return static_cast<std::size_t>(tokens) * padded<T>(queries); }
  template <typename T>
  std::size_t packed() const { return static_cast<std::size_t>(tokens) * padded<T>(std::max(depth, channels)); }
  template <typename T>
  std::size_t pooled() const { return static_cast<std::size_t>(queries) * padded<T>(std::max(depth, channels)); }
};

// The queries of an image, packed: once for all images, or for each task in its own room.
template <typename T>
struct Queries {
  const Problem& p;
  const Array<T>& query;
  T scale;
  Buffer<T> all;

  Queries(const Problem& p, const Array<T>& query, T scale)
      : p(p), query(query), scale(scale), all(p.shared ? Vectors<T>::size(p.queries, p.depth) : 1) {
    if (p.shared) Vectors<T>(all.data(), p.queries, p.depth).pack(query, 0, scale);
  }

  Vectors<T> of(int image, T* room) const {
    const Vectors<T> vectors(p.shared ? all.data() : room, p.queries, p.depth);
    if (!p.shared) vectors.pack(query, image, scale);
    return vectors;
  }
};

template <typename T>
void forward(const Array<T>& query, const Array<T>& key, const Array<T>& value, const Array<T>& out,
             const Array<T>& logs, double scale, int threads) {
  const Problem p(query, key, value);
  const Queries<T> queries(p, query, static_cast<T>(scale));
  const int tall = padded<T>(p.queries), wide = padded<T>(p.channels);
  const std::size_t own = Vectors<T>::size(p.queries, p.depth), scores = p.scores<T>(), packed = p.packed<T>();
  const std::size_t room = padded<T>(own + scores + packed + p.pooled<T>() + 2 * tall);
  const Buffer<T> scratch(room * threads);
  parallel::run(p.images, threads, [&](int image, int thread) {
    T* const base = scratch.data() + room * thread;
    const Vectors<T> q = queries.of(image, base);
    T* const weights = base + own;
    T* const space = weights + scores;
    T* const pooled = space + packed;
    T* const sum = pooled + p.pooled<T>();
    T* const logarithm = sum + tall;
    products(Tokens<T>(key, image, p.queries), q, weights);
    exponentials(weights, p.tokens, tall, sum, logarithm);
    pool(weights, tall, Tokens<T>(value, image, p.queries), space, pooled);
    for (int i = 0; i < p.queries; ++i) {
      T* const to = out.data() + image * out.stride(0) + i * out.stride(1);
      const T factor = 1 / sum[i];
      for (int c = 0; c < p.channels; ++c) to[c] = factor * pooled[static_cast<std::ptrdiff_t>(i) * wide + c];
      logs.data()[image * logs.stride(0) + i * logs.stride(1)] = logarithm[i];
    }
  });
}

template <typename T>
struct Backward {
  const Problem& p;
  const Queries<T>& queries;
  const Array<T>&grad, &key, &value, &logs;
  const std::optional<Array<T>>&grad_key, &grad_value;

  std::size_t room() const {
    return padded<T>(Vectors<T>::size(p.queries, p.depth) + Vectors<T>::size(p.queries, p.channels) +
                     2 * p.scores<T>() + p.packed<T>() + padded<T>(p.queries));
  }

  // The gradients of one image's tokens and, where there is room for it, of its queries before the scale.
  void operator()(int image, T* base, T* grad_query) const {
    const int tall = padded<T>(p.queries);
    const Vectors<T> q = queries.of(image, base);
    const Vectors<T> flow(base + Vectors<T>::size(p.queries, p.depth), p.queries, p.channels);
    T* const weights = flow.rows + Vectors<T>::size(p.queries, p.channels);
    T* const slopes = weights + p.scores<T>();
    T* const space = slopes + p.scores<T>();
    T* const logarithm = space + p.packed<T>();
    for (int i = 0; i < p.queries; ++i) {
      logarithm[i] = logs.data()[image * logs.stride(0) + i * logs.stride(1)];
    }
    const Tokens<T> keys(key, image, p.queries), values(value, image, p.queries);
    flow.pack(grad, image, T(1));
    products(keys, q, weights);
    products(values, flow, slopes);
    softmax_backward(weights, slopes, p.tokens, tall, logarithm);
    if (grad_value) spread(weights, flow, space, Tokens<T>(*grad_value, image, p.queries));
    if (grad_key) spread(slopes, q, space, Tokens<T>(*grad_key, image, p.queries));
    if (grad_query) pool(slopes, tall, keys, space, grad_query);
  }
};

// Writes the gradient of the queries; where all images have the same, the sum over images, always in their order.
template <typename T>
void gather(const Problem& p, const T* parts, T scale, const Array<T>& grad_query) {
  const std::size_t wide = padded<T>(p.depth), image = p.queries * wide;
  for (int to = 0; to < static_cast<int>(grad_query.shape(0)); ++to) {
    for (int q = 0; q < p.queries; ++q) {
      T* const row = grad_query.data() + to * grad_query.stride(0) + q * grad_query.stride(1);
      for (int c = 0; c < p.depth; ++c) {
        T total = 0;
        for (int from = p.shared ? 0 : to; from < (p.shared ? p.images : to + 1); ++from) {
          total += parts[from * image + q * wide + c];
        }
        row[c * grad_query.stride(2)] = scale * total;
      }
    }
  }
}

template <typename T>
void backward(const Array<T>& grad, const Array<T>& query, const Array<T>& key, const Array<T>& value,
              const Array<T>& logs, const std::optional<Array<T>>& grad_query,
              const std::optional<Array<T>>& grad_key, const std::optional<Array<T>>& grad_value, double scale,
              int threads) {
  const Problem p(query, key, value);
  const Queries<T> queries(p, query, static_cast<T>(scale));
  const Backward<T> run{p, queries, grad, key, value, logs, grad_key, grad_value};
  const std::size_t room = run.room(), part = static_cast<std::size_t>(p.queries) * padded<T>(p.depth);
  const Buffer<T> scratch(room * threads), parts(grad_query ? part * p.images : 1);
  parallel::run(p.images, threads, [&](int image, int thread) {
    run(image, scratch.data() + room * thread, grad_query ? parts.data() + part * image : nullptr);
  });
  if (grad_query) gather(p, parts.data(), static_cast<T>(scale), *grad_query);
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("attentive_pool_forward", &forward<T>, "query"_a.noconvert(), "key"_a.noconvert(), "value"_a.noconvert(),
        "out"_a.noconvert(), "logs"_a.noconvert(), "scale"_a, "threads"_a, release);
  m.def("attentive_pool_backward", &backward<T>, "grad"_a.noconvert(), "query"_a.noconvert(), "key"_a.noconvert(),
        "value"_a.noconvert(), "logs"_a.noconvert(), "grad_query"_a.noconvert().none(), "grad_key"_a.noconvert().none(),
        "grad_value"_a.noconvert().none(), "scale"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
