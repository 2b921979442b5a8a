// The selective scan of one vector of channels, chunk by chunk, forward and backward. A chunk's positions are the rows
// at[0], at[1], ... of tiles; for the backward pass the state at its start is kept, and those inside are calculated again.
#pragma once

#include "activations.h"
#include "tiles.h"

#include <vector>

namespace native::scan {

using simd::kLanes;
using simd::load;
using simd::store;
using simd::Vec;

constexpr int kStates = 4;  // are done together, in registers
constexpr double kLn2 = 0.69314718055994530942;

// B or C of one group, or the place of its gradient: number n at row r is data[n * state + r * position].
template <typename T>
struct Coefficients {
  T* data;
  std::ptrdiff_t state, position;

  Coefficients from(int n) const { return {data + n * state, state, position}; }
};

// What a vector of channels has for all positions.
template <typename T>
struct Channels {
  int states;
  bool softplus;
  Vec<T> skip = {}, bias = {};
  std::vector<T> exponents;  // [state][lane]: A / log 2, for powers of two

  Channels(int states, bool softplus) : states(states), softplus(softplus), exponents(states * kLanes<T>) {}

  Vec<T> step(Vec<T> delta) const { return softplus ? simd::softplus<T>(delta + bias) : delta + bias; }
  Vec<T> slope(Vec<T> delta) const { return softplus ? simd::softplus_slope<T>(delta + bias) : Vec<T>{} + T(1); }
};

// Runs `Count` numbers of the state through a chunk and adds what they read out to y. With kKeep, x takes the states
// before each position and after the last, and a the decays.
template <typename T, int Count, bool kKeep>
void advance(int length, const int* at, const T* d, const T* w, const T* exponents, Coefficients<const T> B,
             Coefficients<const T> C, T* state, T* y, T* x, T* a) {
  constexpr int lanes = kLanes<T>;
  Vec<T> now[Count], exponent[Count];
  for (int i = 0; i < Count; ++i) {
    now[i] = load(state + i * lanes);
    exponent[i] = load(exponents + i * lanes);
    if (kKeep) store(x + i * lanes, now[i]);
  }
  for (int l = 0; l < length; ++l) {
    const Vec<T> step = load(d + l * lanes), drive = load(w + l * lanes);
    const T *b = B.data + at[l] * B.position, *c = C.data + at[l] * C.position;
    Vec<T> read = load(y + l * lanes);
    for (int i = 0; i < Count; ++i) {
      const Vec<T> decay = simd::exp2(step * exponent[i]);
      now[i] = decay * now[i] + drive * b[i * B.state];
      read += now[i] * c[i * C.state];
      if (kKeep) {
        store(a + (l * Count + i) * lanes, decay);
        store(x + ((l + 1) * Count + i) * lanes, now[i]);
      }
    }
    store(y + l * lanes, read);
  }
  for (int i = 0; i < Count; ++i) store(state + i * lanes, now[i]);
}

// Runs the gradient of `Count` numbers of the state back through a chunk. `carry` is that of the state after the chunk
// on entry, before it on return; grad_w and grad_d are added to, and grad_B and grad_C take a vector for each position.
template <typename T, int Count>
void pull(int length, const int* at, const T* d, const T* w, const T* dy, const T* exponents, Coefficients<const T> B,
          Coefficients<const T> C, const T* x, const T* a, T* carry, T* grad_A, T* grad_w, T* grad_d, T* grad_B,
          T* grad_C) {
  constexpr int lanes = kLanes<T>;
  Vec<T> flow[Count], exponent[Count], of_A[Count];
  for (int i = 0; i < Count; ++i) {
    flow[i] = load(carry + i * lanes);
    exponent[i] = load(exponents + i * lanes);
    of_A[i] = load(grad_A + i * lanes);
  }
  for (int l = length - 1; l >= 0; --l) {
    const Vec<T> step = load(d + l * lanes), drive = load(w + l * lanes), grad = load(dy + l * lanes);
    const T *b = B.data + at[l] * B.position, *c = C.data + at[l] * C.position;
    Vec<T> of_w = load(grad_w + l * lanes), of_d = load(grad_d + l * lanes);
    for (int i = 0; i < Count; ++i) {
      const Vec<T> of_state = flow[i] + grad * c[i * C.state];
      store(grad_C + (i * length + l) * lanes, grad * load(x + ((l + 1) * Count + i) * lanes));
      store(grad_B + (i * length + l) * lanes, of_state * drive);
      of_w += of_state * b[i * B.state];
      flow[i] = of_state * load(a + (l * Count + i) * lanes);
      const Vec<T> of_exponent = flow[i] * load(x + (l * Count + i) * lanes);
      of_A[i] += of_exponent * step;
      of_d += of_exponent * exponent[i];
    }
    store(grad_w + l * lanes, of_w);
    store(grad_d + l * lanes, of_d);
  }
  for (int i = 0; i < Count; ++i) {
    store(carry + i * lanes, flow[i]);
    store(grad_A + i * lanes, of_A[i]);
  }
}

// The forward pass; `state` is before the chunk, then after it, and `y` holds what was read out.
template <typename T>
class Forward {
 public:
  const simd::Buffer<T> state, y;

  Forward(int chunk, int states)
      : state(states * kLanes<T>), y(chunk * kLanes<T>), d_(chunk * kLanes<T>), w_(chunk * kLanes<T>) {}

  void run(const Channels<T>& channels, Coefficients<const T> B, Coefficients<const T> C, const T* u, const T* delta,
           const int* at, int length) const {
    constexpr int lanes = kLanes<T>;
    for (int l = 0; l < length; ++l) {
      const Vec<T> in = load(u + at[l] * lanes), step = channels.step(load(delta + at[l] * lanes));
      store(d_.data() + l * lanes, step);
      store(w_.data() + l * lanes, step * in);
      store(y.data() + l * lanes, channels.skip * in);
    }
    for (int n = 0; n < channels.states; n += kStates) {
      simd::with_constant<kStates>(std::min(kStates, channels.states - n), [&](auto count) {
        advance<T, count, false>(length, at, d_.data(), w_.data(), channels.exponents.data() + n * lanes, B.from(n),
                                 C.from(n), state.data() + n * lanes, y.data(), nullptr, nullptr);
      });
    }
  }

 private:
  simd::Buffer<T> d_, w_;
};

// The backward pass. The caller sets `state` to that before the chunk and `carry` to the gradient of that after it,
// which is the gradient of the state before it on return; grad_A, grad_D and grad_bias are added to.
template <typename T>
class Backward {
 public:
  const simd::Buffer<T> state, carry, grad_A, y;
  Vec<T> grad_D, grad_bias;

  Backward(int chunk, int states)
      : state(states * kLanes<T>), carry(states * kLanes<T>), grad_A(states * kLanes<T>), y(chunk * kLanes<T>),
        size_(chunk * kLanes<T>), scratch_(5 * size_), x_((chunk + 1) * kStates * kLanes<T>), a_(kStates * size_),
        grad_B_(kStates * size_), grad_C_(kStates * size_) {}

  // Forgets the channels of before.
  void start(int states) {
    std::fill_n(grad_A.data(), states * kLanes<T>, T(0));
    grad_D = grad_bias = Vec<T>{};
  }

  // Adds to rows at[...] of grad_u, writes those of grad_delta, and leaves what was read out in `y`.
  void run(const Channels<T>& channels, Coefficients<const T> B, Coefficients<const T> C, Coefficients<T> grad_B,
           Coefficients<T> grad_C, const T* u, const T* delta, const T* grad, T* grad_u, T* grad_delta, const int* at,
           int length) {
    constexpr int lanes = kLanes<T>;
    T *const d = scratch_.data(), *const w = d + size_, *const dy = w + size_, *const grad_w = dy + size_,
             *const grad_d = grad_w + size_;
    for (int l = 0; l < length; ++l) {
      const Vec<T> in = load(u + at[l] * lanes), step = channels.step(load(delta + at[l] * lanes));
      store(d + l * lanes, step);
      store(w + l * lanes, step * in);
      store(dy + l * lanes, load(grad + at[l] * lanes));
      store(y.data() + l * lanes, channels.skip * in);
      store(grad_w + l * lanes, Vec<T>{});
      store(grad_d + l * lanes, Vec<T>{});
    }
    for (int n = 0; n < channels.states; n += kStates) {
      const T* const exponents = channels.exponents.data() + n * lanes;
      simd::with_constant<kStates>(std::min(kStates, channels.states - n), [&](auto count) {
        advance<T, count, true>(length, at, d, w, exponents, B.from(n), C.from(n), state.data() + n * lanes, y.data(),
                                x_.data(), a_.data());
        pull<T, count>(length, at, d, w, dy, exponents, B.from(n), C.from(n), x_.data(), a_.data(),
                       carry.data() + n * lanes, grad_A.data() + n * lanes, grad_w, grad_d, grad_B_.data(),
                       grad_C_.data());
        for (int i = 0; i < count; ++i) {
          add_sums(grad_B_.data() + i * length * lanes, grad_B.from(n + i), at, length);
          add_sums(grad_C_.data() + i * length * lanes, grad_C.from(n + i), at, length);
        }
      });
    }
    for (int l = 0; l < length; ++l) {
      const Vec<T> in = load(u + at[l] * lanes), of_y = load(dy + l * lanes), of_w = load(grad_w + l * lanes);
      const Vec<T> of_step = of_w * in + load(grad_d + l * lanes) * T(kLn2);
      const Vec<T> of_delta = of_step * channels.slope(load(delta + at[l] * lanes));
      T* const to_u = grad_u + at[l] * lanes;
      store(to_u, load(to_u) + of_w * load(d + l * lanes) + channels.skip * of_y);
      store(grad_delta + at[l] * lanes, of_delta);
      grad_D += of_y * in;
      grad_bias += of_delta;
    }
  }

 private:
  static void add_sums(const T* vectors, const Coefficients<T>& to, const int* at, int length) {
    simd::add_lane_sums(vectors, length, [&](int l) -> T& { return to.data[at[l] * to.position]; });
  }

  std::size_t size_;
  simd::Buffer<T> scratch_, x_, a_, grad_B_, grad_C_;
};

}  // namespace native::scan
