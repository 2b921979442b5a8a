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

// The queries of a block: two vectors of them.
template <typename T>
constexpr int kQueries = 2 * kLanes<T>;

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

// scores (keys, block) = keys (keys, width) times queries (width, block).
template <typename T>
void products(const T* keys, int count, int width, const T* queries, T* scores) {
  simd::multiply<T>(count, kQueries<T>, width, {keys, width, 1}, queries, kQueries<T>, scores, kQueries<T>, false);
}

// out (width, block) += the transpose of rows (keys, width) times weights (keys, block).
template <typename T>
void gather(const T* rows, int count, int width, const T* weights, T* out) {
  simd::multiply<T>(width, kQueries<T>, count, {rows, 1, width}, weights, kQueries<T>, out, kQueries<T>, true);
}

// The running softmax of a block of queries over chunks of keys.
template <typename T>
struct Softmax {
  T top[kQueries<T>], sum[kQueries<T>];

  Softmax() {
    std::fill(top, top + kQueries<T>, -std::numeric_limits<T>::infinity());
    std::fill(sum, sum + kQueries<T>, T(0));
  }

  // scores (keys, block) := exp(scores - the largest so far); out (channels, block) is brought to that maximum.
  void add(T* scores, int keys, T* out, int channels) {
    for (int q = 0; q < kQueries<T>; q += kLanes<T>) {
      const Vec<T> before = load(top + q);
      Vec<T> largest = before;
      for (int k = 0; k < keys; ++k) {
        const Vec<T> next = load(scores + k * kQueries<T> + q);
        largest = next > largest ? next : largest;
      }
      store(top + q, largest);
      // A maximum of minus infinity is no shift: all weights are then zero, unless a later chunk has more.
      const Vec<T> none = Vec<T>{} - std::numeric_limits<T>::infinity();
      const Vec<T> shift = largest == none ? Vec<T>{} : largest;
      const Vec<T> old = simd::exp_nonpositive(before - shift);
      Vec<T> total = load(sum + q) * old;
      for (int k = 0; k < keys; ++k) {
        T* const at = scores + k * kQueries<T> + q;
        const Vec<T> e = simd::exp_nonpositive(load(at) - shift);
        total += e;
        store(at, e);
      }
      store(sum + q, total);
      for (int c = 0; c < channels; ++c) {
        T* const at = out + c * kQueries<T> + q;
        store(at, load(at) * old);
      }
    }
  }
};

template <typename T>
struct Forward {
  const Problem& p;
  const Angles<T>& angles;
  const Array<T>&query, &key, &value, &out, &logs;
  T scale;

  std::size_t room() const {
    return p.packed<T>(p.depth) + p.packed<T>(p.channels) +
           padded<T>(kQueries<T> * (p.depth + p.channels) + kQueries<T> * std::max(kKeys, p.depth));
  }

  // The queries [begin, end) of one head of a sample.
  void operator()(const Sample& sample, int head, int begin, int end, T* base) const {
    T* const keys = base;
    T* const values = keys + p.packed<T>(p.depth);
    T* const queries = values + p.packed<T>(p.channels);
    T* const total = queries + kQueries<T> * p.depth;
    T* const scores = total + kQueries<T> * p.channels;
    pack(Head<T>(key, head), sample.first_key, sample.keys, p.depth, &angles, T(1), keys, p.depth);
    pack(Head<T>(value, head), sample.first_key, sample.keys, p.channels, static_cast<const Angles<T>*>(nullptr), T(1),
         values, p.channels);
    const Head<T> from(query, head), to(out, head);
    for (int first = begin; first < end; first += kQueries<T>) {
      const int count = std::min(kQueries<T>, end - first);
      pack(from, sample.first + first, count, p.depth, &angles, scale, scores, p.depth);
      std::fill(scores + count * p.depth, scores + kQueries<T> * p.depth, T(0));
      block_attention::transpose(scores, p.depth, 1, kQueries<T>, p.depth, queries, kQueries<T>);
      std::fill(total, total + kQueries<T> * p.channels, T(0));
      Softmax<T> softmax;
      for (int k = 0; k < sample.keys; k += kKeys) {
        const int chunk = std::min(kKeys, sample.keys - k);
        products(keys + static_cast<std::ptrdiff_t>(k) * p.depth, chunk, p.depth, queries, scores);
        softmax.add(scores, chunk, total, k == 0 ? 0 : p.channels);
        gather(values + static_cast<std::ptrdiff_t>(k) * p.channels, chunk, p.channels, scores, total);
      }
      for (int i = 0; i < count; ++i) {
        const std::int64_t token = sample.first + first + i;
        logs.data()[token * logs.stride(0) + head * logs.stride(1)] = softmax.top[i] + std::log(softmax.sum[i]);
        for (int c = 0; c < p.channels; ++c) to.at(token, c) = total[c * kQueries<T> + i] / softmax.sum[i];
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
void differentiate(T* scores, T* slopes, int keys, const T* logs, const T* means) {
  for (int q = 0; q < kQueries<T>; q += kLanes<T>) {
    const Vec<T> shift = load(logs + q), mean = load(means + q);
    for (int k = 0; k < keys; ++k) {
      T *const weight = scores + k * kQueries<T> + q, *const slope = slopes + k * kQueries<T> + q;
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

  int wide_depth() const { return padded<T>(p.depth); }
  int wide_channels() const { return padded<T>(p.channels); }
  std::size_t room() const {
    const int block = wide_depth() + wide_channels() + 2 * p.depth + p.channels + 2 * kKeys + 2;
    return p.packed<T>(p.depth) + p.packed<T>(p.channels) + p.packed<T>(wide_depth()) + p.packed<T>(wide_channels()) +
           padded<T>(kQueries<T> * block);
  }

  // All gradients of one head of a sample.
  void operator()(const Sample& sample, int head, T* base) const {
    T* const keys = base;
    T* const values = keys + p.packed<T>(p.depth);
    T* const key_slopes = values + p.packed<T>(p.channels);
    T* const value_slopes = key_slopes + p.packed<T>(wide_depth());
    T* const query_rows = value_slopes + p.packed<T>(wide_channels());
    T* const grad_rows = query_rows + kQueries<T> * wide_depth();
    T* const queries = grad_rows + kQueries<T> * wide_channels();
    T* const grads = queries + kQueries<T> * p.depth;
    T* const query_slopes = grads + kQueries<T> * p.channels;
    T* const scores = query_slopes + kQueries<T> * p.depth;
    T* const slopes = scores + kQueries<T> * kKeys;
    T* const shifts = slopes + kQueries<T> * kKeys;
    T* const means = shifts + kQueries<T>;
    const Angles<T>* const still = nullptr;
    pack(Head<T>(key, head), sample.first_key, sample.keys, p.depth, &angles, T(1), keys, p.depth);
    pack(Head<T>(value, head), sample.first_key, sample.keys, p.channels, still, T(1), values, p.channels);
    std::fill(key_slopes, key_slopes + static_cast<std::ptrdiff_t>(sample.keys) * wide_depth(), T(0));
    std::fill(value_slopes, value_slopes + static_cast<std::ptrdiff_t>(sample.keys) * wide_channels(), T(0));
    const Head<T> flow(grad, head), result(out, head), from(query, head);
    for (int first = 0; first < sample.queries; first += kQueries<T>) {
      const int count = std::min(kQueries<T>, sample.queries - first);
      const std::int64_t token = sample.first + first;
      std::fill(query_rows, grad_rows + kQueries<T> * wide_channels(), T(0));
      pack(from, token, count, p.depth, &angles, scale, query_rows, wide_depth());
      pack(flow, token, count, p.channels, still, T(1), grad_rows, wide_channels());
      block_attention::transpose(query_rows, wide_depth(), 1, kQueries<T>, p.depth, queries, kQueries<T>);
      block_attention::transpose(grad_rows, wide_channels(), 1, kQueries<T>, p.channels, grads, kQueries<T>);
      for (int i = 0; i < kQueries<T>; ++i) {
        shifts[i] = means[i] = T(0);
        if (i >= count) continue;
        shifts[i] = logs.data()[(token + i) * logs.stride(0) + head * logs.stride(1)];
        for (int c = 0; c < p.channels; ++c) means[i] += grad_rows[i * wide_channels() + c] * result.at(token + i, c);
      }
      std::fill(query_slopes, query_slopes + kQueries<T> * p.depth, T(0));
      for (int k = 0; k < sample.keys; k += kKeys) {
        const int chunk = std::min(kKeys, sample.keys - k);
        const T* const chunk_keys = keys + static_cast<std::ptrdiff_t>(k) * p.depth;
        products(chunk_keys, chunk, p.depth, queries, scores);
        products(values + static_cast<std::ptrdiff_t>(k) * p.channels, chunk, p.channels, grads, slopes);
        differentiate(scores, slopes, chunk, shifts, means);
        if (grad_value) scatter(scores, chunk, count, grad_rows, wide_channels(), value_slopes + row(k, wide_channels()));
        if (grad_key) scatter(slopes, chunk, count, query_rows, wide_depth(), key_slopes + row(k, wide_depth()));
        if (grad_query) gather(chunk_keys, chunk, p.depth, slopes, query_slopes);
      }
      if (grad_query) write_queries(query_slopes, count, token, head, query_rows);
    }
    if (grad_key) write(key_slopes, wide_depth(), sample, p.depth, Head<T>(*grad_key, head), &angles);
    if (grad_value) write(value_slopes, wide_channels(), sample, p.channels, Head<T>(*grad_value, head), still);
  }

 private:
  static std::ptrdiff_t row(int number, int wide) { return static_cast<std::ptrdiff_t>(number) * wide; }

  // rows (keys, wide) += weights (keys, block) times x (block, wide).
  static void scatter(const T* weights, int keys, int count, const T* x, int wide, T* rows) {
    simd::multiply<T>(keys, wide, count, {weights, kQueries<T>, 1}, x, wide, rows, wide, true);
  }

  // The gradient of a block of queries, from slopes (depth, block).
  void write_queries(const T* slopes, int count, std::int64_t token, int head, T* space) const {
    const Head<T> to(*grad_query, head);
    for (int i = 0; i < count; ++i) {
      for (int c = 0; c < p.depth; ++c) space[c] = scale * slopes[c * kQueries<T> + i];
      angles.turn(token + i, space, T(-1));
      for (int c = 0; c < p.depth; ++c) to.at(token + i, c) = space[c];
    }
  }

  static void write(T* rows, int wide, const Sample& sample, int width, const Head<T>& to, const Angles<T>* angles) {
    for (int i = 0; i < sample.keys; ++i) {
      T* const from = rows + row(i, wide);
      if (angles != nullptr) angles->turn(sample.first_key + i, from, T(-1));
      for (int c = 0; c < width; ++c) to.at(sample.first_key + i, c) = from[c];
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
