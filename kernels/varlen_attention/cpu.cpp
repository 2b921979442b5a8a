// Variable-length attention, forward and backward. A task is one head of one sample, or a band of its queries; its keys
// and values are packed once. Scores are held for a block of queries and a chunk of keys, as (keys, queries), so that the
// softmax runs over whole vectors of queries; a chunk's maximum replaces that of the chunks before it.
#include "block_attention.h"
#include "native.h"
#include "parallel.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace {

using native::Array;
using simd::Buffer;
using simd::kLanes;
using simd::load;
using simd::padded;
using simd::store;
using simd::Vec;

using Offsets = Array<const std::int64_t>;
template <typename T>
using Table = std::optional<Array<T>>;

constexpr int kKeys = 128;  // of a chunk

// The most queries of a block: two vectors of them.
template <typename T>
constexpr int kQueries = 2 * kLanes<T>;

// The room of a block of `count` queries: one vector or two.
template <typename T>
int wide_of(int count) {
  return count <= kLanes<T> ? kLanes<T> : kQueries<T>;
}

// One head of a packed (tokens, heads, channels) tensor.
template <typename T>
struct Head {
  T* data;
  std::ptrdiff_t row, step;

  Head(const Array<T>& x, int head) : data(x.data() + head * x.stride(1)), row(x.stride(0)), step(x.stride(2)) {}
  T& at(std::int64_t token, int channel) const { return data[token * row + channel * step]; }
};

// The angles by which the first pairs of channels of each token turn.
template <typename T>
struct Angles {
  const T *cos = nullptr, *sin = nullptr;
  std::ptrdiff_t cos_row = 0, cos_step = 0, sin_row = 0, sin_step = 0;
  int pairs = 0;

  Angles(const Table<T>& c, const Table<T>& s) {
    if (!c) return;
    cos = c->data(), sin = s->data();
    cos_row = c->stride(0), cos_step = c->stride(1), sin_row = s->stride(0), sin_step = s->stride(1);
    pairs = static_cast<int>(c->shape(1));
  }

  // Turns the channels of a token, forward or, with `sign` -1, back.
  void turn(std::int64_t token, T* channels, T sign) const {
    for (int i = 0; i < pairs; ++i) {
      const T c = cos[token * cos_row + i * cos_step], s = sign * sin[token * sin_row + i * sin_step];
      const T even = channels[2 * i], odd = channels[2 * i + 1];
      channels[2 * i] = even * c - odd * s;
      channels[2 * i + 1] = even * s + odd * c;
    }
  }
};

// The tokens of a sample among the queries and among the keys.
struct Sample {
  std::int64_t first, first_key;
  int queries, keys;

  Sample(const Offsets& offsets, const Offsets& key_offsets, int sample)
      : first(offsets.data()[sample]), first_key(key_offsets.data()[sample]),
        queries(static_cast<int>(offsets.data()[sample + 1] - first)),
        keys(static_cast<int>(key_offsets.data()[sample + 1] - first_key)) {}
};

// The sizes of a problem.
struct Problem {
  int heads, depth, channels, samples, longest = 0;

  template <typename T>
  Problem(const Array<T>& query, const Array<T>& value, const Offsets& offsets, const Offsets& key_offsets)
      : heads(query.shape(1)), depth(query.shape(2)), channels(value.shape(2)),
        samples(static_cast<int>(offsets.shape(0)) - 1) {
    for (int i = 0; i < samples; ++i) longest = std::max(longest, Sample(offsets, key_offsets, i).keys);
  }

  // The numbers in rows of `width` for all keys of the longest sample, in whole vectors.
  template <typename T>
  std::size_t packed(int width) const {
    return (static_cast<std::size_t>(longest) * width + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
  }
};

// `count` rows of a head from token `first` on, turned and multiplied by `scale`, at `to` with rows of `wide` numbers.
template <typename T>
void pack(const Head<T>& from, std::int64_t first, int count, int width, const Angles<T>* angles, T scale, T* to,
          int wide) {
  for (int i = 0; i < count; ++i) {
    T* const row = to + static_cast<std::ptrdiff_t>(i) * wide;
    const T* const source = from.data + (first + i) * from.row;
    if (from.step == 1) {
      for (int c = 0; c < width; ++c) row[c] = scale * source[c];
    } else {
      for (int c = 0; c < width; ++c) row[c] = scale * source[c * from.step];
    }
    if (angles != nullptr) angles->turn(first + i, row, T(1));
  }
}

// scores (keys, wide) = keys (keys, width) times queries (width, wide).
template <typename T>
void products(const T* keys, int count, int width, const T* queries, int wide, T* scores) {
  simd::multiply<T>(count, wide, width, {keys, width, 1}, queries, wide, scores, wide, false);
}

// out (width, wide) += the transpose of rows (keys, width) times weights (keys, wide).
template <typename T>
void gather(const T* rows, int count, int width, const T* weights, int wide, T* out) {
  simd::multiply<T>(width, wide, count, {rows, 1, width}, weights, wide, out, wide, true);
}

// rows (keys, width) += weights (keys, wide) times the first `count` rows of x (queries, width), of whole vectors.
template <typename T>
void scatter(const T* weights, int keys, int wide, int count, const T* x, int width, T* rows) {
  simd::multiply<T>(keys, width, count, {weights, wide, 1}, x, width, rows, width, true);
}

// to (columns, rows) = the transpose of from (rows, columns); both sizes are whole vectors.
template <typename T>
void transpose(const T* from, int rows, int columns, T* to) {
  for (int i = 0; i < rows; i += kLanes<T>) {
    for (int c = 0; c < columns; c += kLanes<T>) {
      simd::transpose_block(from + static_cast<std::ptrdiff_t>(i) * columns + c, columns, kLanes<T>,
                            to + static_cast<std::ptrdiff_t>(c) * rows + i, rows);
    }
  }
}

// The running softmax of a block of queries over chunks of keys.
template <typename T>
struct Softmax {
  T top[kQueries<T>], sum[kQueries<T>];

  Softmax() {
    std::fill(top, top + kQueries<T>, -std::numeric_limits<T>::infinity());
    std::fill(sum, sum + kQueries<T>, T(0));
  }

  // scores (keys, wide) := exp(scores - the largest so far); out (channels, wide) is brought to that maximum.
  void add(T* scores, int keys, int wide, T* out, int channels) {
    for (int q = 0; q < wide; q += kLanes<T>) {
      const Vec<T> before = load(top + q);
      Vec<T> largest = before;
      for (int k = 0; k < keys; ++k) {
        const Vec<T> next = load(scores + k * wide + q);
        largest = next > largest ? next : largest;
      }
      store(top + q, largest);
      // A maximum of minus infinity is no shift: all weights are then zero, unless a later chunk has more.
      const Vec<T> none = Vec<T>{} - std::numeric_limits<T>::infinity();
      const Vec<T> shift = largest == none ? Vec<T>{} : largest;
      const Vec<T> old = simd::exp_nonpositive(before - shift);
      Vec<T> total = load(sum + q) * old;
      for (int k = 0; k < keys; ++k) {
        T* const at = scores + k * wide + q;
        const Vec<T> e = simd::exp_nonpositive(load(at) - shift);
        total += e;
        store(at, e);
      }
      store(sum + q, total);
      scale(out, channels, wide, q, old);
    }
  }

  // out (channels, wide) := the weighted means.
  void finish(T* out, int channels, int wide) const {
    for (int q = 0; q < wide; q += kLanes<T>) scale(out, channels, wide, q, T(1) / load(sum + q));
  }

 private:
  static void scale(T* out, int channels, int wide, int q, const Vec<T>& factor) {
    for (int c = 0; c < channels; ++c) store(out + c * wide + q, load(out + c * wide + q) * factor);
  }
};

template <typename T>
struct Forward {
  const Problem& p;
  const Angles<T>& angles;
  const Array<T>&query, &key, &value, &out, &logs;
  T scale;

  std::size_t room() const {
    const int deep = padded<T>(p.depth), broad = padded<T>(p.channels);
    return p.packed<T>(p.depth) + p.packed<T>(p.channels) +
           padded<T>(kQueries<T> * (deep + broad + std::max({kKeys, deep, broad})));
  }

  // The queries [begin, end) of one head of a sample.
  void operator()(const Sample& sample, int head, int begin, int end, T* base) const {
    const int deep = padded<T>(p.depth), broad = padded<T>(p.channels);
    T* const keys = base;
    T* const values = keys + p.packed<T>(p.depth);
    T* const queries = values + p.packed<T>(p.channels);
    T* const total = queries + kQueries<T> * deep;
    T* const scores = total + kQueries<T> * broad;  // and the rows of queries and of the result
    const Angles<T>* const still = nullptr;
    pack(Head<T>(key, head), sample.first_key, sample.keys, p.depth, &angles, T(1), keys, p.depth);
    pack(Head<T>(value, head), sample.first_key, sample.keys, p.channels, still, T(1), values, p.channels);
    const Head<T> from(query, head), to(out, head);
    for (int first = begin; first < end; first += kQueries<T>) {
      const int count = std::min(kQueries<T>, end - first), wide = wide_of<T>(count);
      const std::int64_t token = sample.first + first;
      std::fill(scores, scores + wide * deep, T(0));
      pack(from, token, count, p.depth, &angles, scale, scores, deep);
      transpose(scores, wide, deep, queries);
      std::fill(total, total + wide * broad, T(0));
      Softmax<T> softmax;
      for (int k = 0; k < sample.keys; k += kKeys) {
        const int chunk = std::min(kKeys, sample.keys - k);
        products(keys + static_cast<std::ptrdiff_t>(k) * p.depth, chunk, p.depth, queries, wide, scores);
        softmax.add(scores, chunk, wide, total, k == 0 ? 0 : p.channels);
        gather(values + static_cast<std::ptrdiff_t>(k) * p.channels, chunk, p.channels, scores, wide, total);
      }
      softmax.finish(total, p.channels, wide);
      transpose(total, broad, wide, scores);
      for (int i = 0; i < count; ++i) {
        logs.data()[(token + i) * logs.stride(0) + head * logs.stride(1)] = softmax.top[i] + std::log(softmax.sum[i]);
        for (int c = 0; c < p.channels; ++c) (&to.at(token + i, 0))[c] = scores[i * broad + c];
      }
    }
  }
};

template <typename T>
void forward(const Array<T>& query, const Array<T>& key, const Array<T>& value, const Offsets& offsets,
             const Offsets& key_offsets, const Table<T>& cos, const Table<T>& sin, const Array<T>& out,
             const Array<T>& logs, double scale, int threads) {
  const Problem p(query, value, offsets, key_offsets);
  const Angles<T> angles(cos, sin);
  const Forward<T> run{p, angles, query, key, value, out, logs, static_cast<T>(scale)};
  const int maps = p.samples * p.heads;
  const int bands = std::max(1, maps == 0 ? 1 : (4 * threads + maps - 1) / maps);
  const std::size_t room = run.room();
  const Buffer<T> scratch(room * threads);
  parallel::run(maps * bands, threads, [&](int task, int thread) {
    const int map = task / bands, band = task % bands;
    const Sample sample(offsets, key_offsets, map / p.heads);
    const int blocks = (sample.queries + kQueries<T> - 1) / kQueries<T>;
    const int begin = blocks * band / bands * kQueries<T>;
    const int end = std::min(blocks * (band + 1) / bands * kQueries<T>, sample.queries);
    if (begin < end) run(sample, map % p.heads, begin, end, scratch.data() + room * thread);
  });
}

// scores := the weights exp(scores - logs); slopes, the gradient of the weights, := that of the scores.
template <typename T>
void differentiate(T* scores, T* slopes, int keys, int wide, const T* logs, const T* means) {
  for (int q = 0; q < wide; q += kLanes<T>) {
    const Vec<T> shift = load(logs + q), mean = load(means + q);
    for (int k = 0; k < keys; ++k) {
      T *const weight = scores + k * wide + q, *const slope = slopes + k * wide + q;
      const Vec<T> w = simd::exp_nonpositive(load(weight) - shift);
      store(weight, w);
      store(slope, w * (load(slope) - mean));
    }
  }
}

template <typename T>
struct Backward {
  const Problem& p;
  const Angles<T>& angles;
  const Array<T>&grad, &query, &key, &value, &out, &logs;
  const Table<T>&grad_query, &grad_key, &grad_value;
  T scale;

  std::size_t room() const {
    const int deep = padded<T>(p.depth), broad = padded<T>(p.channels);
    return p.packed<T>(p.depth) + p.packed<T>(p.channels) + p.packed<T>(deep) + p.packed<T>(broad) +
           padded<T>(kQueries<T> * (3 * deep + 2 * broad + 2 * kKeys));
  }

  // All gradients of one head of a sample.
  void operator()(const Sample& sample, int head, T* base) const {
    const int deep = padded<T>(p.depth), broad = padded<T>(p.channels);
    T* const keys = base;
    T* const values = keys + p.packed<T>(p.depth);
    T* const key_slopes = values + p.packed<T>(p.channels);
    T* const value_slopes = key_slopes + p.packed<T>(deep);
    T* const query_rows = value_slopes + p.packed<T>(broad);
    T* const grad_rows = query_rows + kQueries<T> * deep;
    T* const queries = grad_rows + kQueries<T> * broad;
    T* const grads = queries + kQueries<T> * deep;
    T* const query_slopes = grads + kQueries<T> * broad;
    T* const scores = query_slopes + kQueries<T> * deep;
    T* const slopes = scores + kQueries<T> * kKeys;
    const Angles<T>* const still = nullptr;
    pack(Head<T>(key, head), sample.first_key, sample.keys, p.depth, &angles, T(1), keys, p.depth);
    pack(Head<T>(value, head), sample.first_key, sample.keys, p.channels, still, T(1), values, p.channels);
    std::fill(key_slopes, key_slopes + row(sample.keys, deep), T(0));
    std::fill(value_slopes, value_slopes + row(sample.keys, broad), T(0));
    const Head<T> flow(grad, head), result(out, head), from(query, head);
    for (int first = 0; first < sample.queries; first += kQueries<T>) {
      const int count = std::min(kQueries<T>, sample.queries - first), wide = wide_of<T>(count);
      const std::int64_t token = sample.first + first;
      std::fill(query_rows, query_rows + wide * deep, T(0));
      std::fill(grad_rows, grad_rows + wide * broad, T(0));
      pack(from, token, count, p.depth, &angles, scale, query_rows, deep);
      pack(flow, token, count, p.channels, still, T(1), grad_rows, broad);
      transpose(query_rows, wide, deep, queries);
      transpose(grad_rows, wide, broad, grads);
      T shifts[kQueries<T>] = {}, means[kQueries<T>] = {};
      for (int i = 0; i < count; ++i) {
        shifts[i] = logs.data()[(token + i) * logs.stride(0) + head * logs.stride(1)];
        for (int c = 0; c < p.channels; ++c) means[i] += grad_rows[i * broad + c] * result.at(token + i, c);
      }
      std::fill(query_slopes, query_slopes + wide * deep, T(0));
      for (int k = 0; k < sample.keys; k += kKeys) {
        const int chunk = std::min(kKeys, sample.keys - k);
        const T* const chunk_keys = keys + row(k, p.depth);
        products(chunk_keys, chunk, p.depth, queries, wide, scores);
        products(values + row(k, p.channels), chunk, p.channels, grads, wide, slopes);
        differentiate(scores, slopes, chunk, wide, shifts, means);
        if (grad_value) scatter(scores, chunk, wide, count, grad_rows, broad, value_slopes + row(k, broad));
        if (grad_key) scatter(slopes, chunk, wide, count, query_rows, deep, key_slopes + row(k, deep));
        if (grad_query) gather(chunk_keys, chunk, p.depth, slopes, wide, query_slopes);
      }
      if (grad_query) {
        transpose(query_slopes, deep, wide, query_rows);
        write(query_rows, deep, token, count, p.depth, scale, Head<T>(*grad_query, head), &angles);
      }
    }
    const std::int64_t token = sample.first_key;
    if (grad_key) write(key_slopes, deep, token, sample.keys, p.depth, T(1), Head<T>(*grad_key, head), &angles);
    if (grad_value) {
      write(value_slopes, broad, token, sample.keys, p.channels, T(1), Head<T>(*grad_value, head), still);
    }
  }

 private:
  static std::ptrdiff_t row(int number, int wide) { return static_cast<std::ptrdiff_t>(number) * wide; }

  // Writes `count` rows of `wide` numbers from token `first` on, times `factor` and turned back.
  static void write(T* rows, int wide, std::int64_t first, int count, int width, T factor, const Head<T>& to,
                    const Angles<T>* angles) {
    for (int i = 0; i < count; ++i) {
      T* const from = rows + row(i, wide);
      if (angles != nullptr) angles->turn(first + i, from, T(-1));
      for (int c = 0; c < width; ++c) to.at(first + i, c) = factor * from[c];
    }
  }
};

template <typename T>
void backward(const Array<T>& grad, const Array<T>& query, const Array<T>& key, const Array<T>& value,
              const Offsets& offsets, const Offsets& key_offsets, const Table<T>& cos, const Table<T>& sin,
              const Array<T>& out, const Array<T>& logs, const Table<T>& grad_query, const Table<T>& grad_key,
              const Table<T>& grad_value, double scale, int threads) {
  const Problem p(query, value, offsets, key_offsets);
  const Angles<T> angles(cos, sin);
  const Backward<T> run{p, angles, grad, query, key, value, out, logs, grad_query, grad_key, grad_value,
                        static_cast<T>(scale)};
  const std::size_t room = run.room();
  const Buffer<T> scratch(room * threads);
  parallel::run(p.samples * p.heads, threads, [&](int task, int thread) {
    run(Sample(offsets, key_offsets, task / p.heads), task % p.heads, scratch.data() + room * thread);
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("varlen_attention_forward", &forward<T>, "query"_a.noconvert(), "key"_a.noconvert(), "value"_a.noconvert(),
        "offsets"_a.noconvert(), "key_offsets"_a.noconvert(), "cos"_a.noconvert().none(), "sin"_a.noconvert().none(),
        "out"_a.noconvert(), "logs"_a.noconvert(), "scale"_a, "threads"_a, release);
  m.def("varlen_attention_backward", &backward<T>, "grad"_a.noconvert(), "query"_a.noconvert(), "key"_a.noconvert(),
        "value"_a.noconvert(), "offsets"_a.noconvert(), "key_offsets"_a.noconvert(), "cos"_a.noconvert().none(),
        "sin"_a.noconvert().none(), "out"_a.noconvert(), "logs"_a.noconvert(), "grad_query"_a.noconvert().none(),
        "grad_key"_a.noconvert().none(), "grad_value"_a.noconvert().none(), "scale"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
