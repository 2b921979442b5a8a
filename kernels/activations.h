// Activations and their slopes for vectors of numbers of any sign. NaN stays NaN.
#pragma once

#include "simd.h"

namespace simd {

// 2^x: infinity from 128 on; 0 below -125, so that no result is denormal. To about one unit in the last place.
inline Vec<float> exp2(Vec<float> x) {
  typedef std::uint32_t Bits __attribute__((vector_size(kBytes)));
  constexpr float round = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which is left in the low bits
  const Vec<float> capped = x > 129.0f ? Vec<float>{} + 129.0f : x;
  const Vec<float> shifted = capped + round;
  const Vec<float> f = capped - (shifted - round);
  Vec<float> p = f * 3.069162485e-4f + 2.679986181e-3f;  // twice 2^f, so that the power of two is half of 2^n
  p = p * f + 1.923697814e-2f;
  p = p * f + 1.110065728e-1f;
  p = p * f + 4.804529250e-1f;
  p = p * f + 1.386294365f;
  p = p * f + 2.0f;
  const Vec<float> half_power = (Vec<float>)(((Bits)shifted << 23) + 0x3f000000u);
  const Bits underflow = (Bits)(x < -125.0f);
  return (Vec<float>)((Bits)(p * half_power) & ~underflow);
}

inline Vec<double> exp2(Vec<double> x) {
  for (int lane = 0; lane < kLanes<double>; ++lane) x[lane] = std::exp2(x[lane]);
  return x;
}

// log(1 + x) for 0 <= x <= 1, with a small relative error however small x is.
inline Vec<float> log1p_fraction(Vec<float> x) {
  Vec<float> p = x * -0.003244024469f + 0.01985145919f;
  p = p * x - 0.05695952848f;
  p = p * x + 0.1060365438f;
  p = p * x - 0.1530559212f;
  p = p * x + 0.1967593879f;
  p = p * x - 0.2495413423f;
  p = p * x + 0.3332996368f;
  p = p * x - 0.4999990165f;
  p = p * x + 1.0f;
  return x * p;
}

inline Vec<double> log1p_fraction(Vec<double> x) {
  for (int lane = 0; lane < kLanes<double>; ++lane) x[lane] = std::log1p(x[lane]);
  return x;
}

template <typename T>
inline Vec<T> sigmoid(Vec<T> x) {
  constexpr T log2e = T(1.44269504088896340736);
  return T(1) / (exp2(x * -log2e) + T(1));
}

// As in PyTorch, softplus is x itself above 20, with a slope of 1.
constexpr int kLinearSoftplus = 20;

template <typename T>
inline Vec<T> softplus(Vec<T> x) {
  const Vec<T> bell = exp_nonpositive(x > 0 ? -x : x);
  const Vec<T> positive = x > 0 ? x : Vec<T>{};
  return x > kLinearSoftplus ? x : positive + log1p_fraction(bell);
}

template <typename T>
inline Vec<T> softplus_slope(Vec<T> x) {
  return x > kLinearSoftplus ? Vec<T>{} + T(1) : sigmoid<T>(x);
}

template <typename T>
inline Vec<T> silu(Vec<T> x) {
  return x * sigmoid<T>(x);
}

// The derivative of SiLU at x, given sigmoid(x).
template <typename T>
inline Vec<T> silu_slope(Vec<T> x, Vec<T> gate) {
  return gate * (x * (T(1) - gate) + T(1));
}

}  // namespace simd
