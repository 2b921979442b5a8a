// The exit by class. First a task is a block of tokens of one image: the best class of each; then a task is one image:
// its leaving tokens in the order of their class and score, of which the first of each class stay.
#include "native.h"
#include "parallel.h"
#include "simd.h"

#include <algorithm>

namespace {

using native::Array;
using simd::kLanes;
using simd::load;
using simd::store;
using simd::Vec;

constexpr int kTokens = 64;  // of a task

// The best of a token's scores, which lie `step` apart; NaN if any is.
template <typename T>
T best_of(const T* scores, std::ptrdiff_t step, int classes) {
  T best = scores[0];
  int c = 1;
  if (step == 1 && classes >= kLanes<T>) {
    Vec<T> top = load(scores);
    for (c = kLanes<T>; c + kLanes<T> <= classes; c += kLanes<T>) {
      const Vec<T> next = load(scores + c);
      top = (next > top) | (next != next) ? next : top;
    }
    T lanes[kLanes<T>];
    store(lanes, top);
    best = simd::fold(lanes, [](T x, T y) { return y > x || y != y ? y : x; });
  }
  for (; c < classes; ++c) {
    const T next = scores[c * step];
    best = next > best || next != next ? next : best;
  }
  return best;
}

// The best scores and classes of `count` neighbours whose scores of one class lie side by side.
template <typename T>
void best_of_neighbours(const T* scores, std::ptrdiff_t step, int classes, int count, T* score, int* own) {
  for (int n = 0; n < count; ++n) score[n] = scores[n], own[n] = 0;
  for (int c = 1; c < classes; ++c) {
    const T* const row = scores + c * step;
    for (int n = 0; n < count; ++n) {
      const bool better = (row[n] > score[n]) | (row[n] != row[n]);
      score[n] = better ? row[n] : score[n];
      own[n] = better ? c : own[n];
    }
  }
}

template <typename T>
struct Leaving {
  int own, token;
  T score;

  bool operator<(const Leaving& other) const {
    if (own != other.own) return own < other.own;
    return score > other.score || (score == other.score && token < other.token);
  }
};

template <typename T>
void forward(const Array<T>& scores, const Array<std::uint8_t>& gone, const Array<T>& out, double threshold, bool never,
             int keep, int threads) {
  const int batch = scores.shape(0), classes = scores.shape(1), count = scores.shape(2);
  const int blocks = (count + kTokens - 1) / kTokens;
  const T least = static_cast<T>(threshold);
  std::vector<int> best(static_cast<std::size_t>(batch) * count);  // the class of a leaving token, else -1
  parallel::run(never ? 0 : batch * blocks, threads, [&](int task, int) {
    const int image = task / blocks, first = task % blocks * kTokens, own = std::min(kTokens, count - first);
    const T* const at = scores.data() + image * scores.stride(0) + first * scores.stride(2);
    T score[kTokens];
    int number[kTokens];
    if (scores.stride(2) == 1) {
      best_of_neighbours(at, scores.stride(1), classes, own, score, number);
    } else {
      for (int n = 0; n < own; ++n) {
        const T* const token = at + n * scores.stride(2);
        score[n] = best_of(token, scores.stride(1), classes);
        number[n] = 0;
        if (!(score[n] > least)) continue;
        while (token[number[n] * scores.stride(1)] != score[n]) ++number[n];
      }
    }
    for (int n = 0; n < own; ++n) {
      T& place = out.data()[image * out.stride(0) + (first + n) * out.stride(1)];
      const bool left = gone.data()[image * gone.stride(0) + (first + n) * gone.stride(1)];
      place = score[n];
      best[static_cast<std::size_t>(image) * count + first + n] = !left && score[n] > least ? number[n] : -1;
    }
  });
  parallel::run(batch, threads, [&](int image, int) {
    T* const places = out.data() + image * out.stride(0);
    std::vector<Leaving<T>> leaving;
    for (int n = 0; n < count; ++n) {
      T& place = places[n * out.stride(1)];
      const int own = never ? -1 : best[static_cast<std::size_t>(image) * count + n];
      if (own >= 0) leaving.push_back({own, n, place});
      place = gone.data()[image * gone.stride(0) + n * gone.stride(1)] || own >= 0 ? T(0) : T(1);
    }
    std::sort(leaving.begin(), leaving.end());
    for (std::size_t i = 0, start = 0; i < leaving.size(); ++i) {
      if (leaving[i].own != leaving[start].own) start = i;
      if (i - start < static_cast<std::size_t>(keep)) places[leaving[i].token * out.stride(1)] = T(1);
    }
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  m.def("exit_by_class_forward", &forward<T>, "scores"_a.noconvert(), "gone"_a.noconvert(), "out"_a.noconvert(),
        "threshold"_a, "never"_a, "keep"_a, "threads"_a, nb::call_guard<nb::gil_scoped_release>());
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
