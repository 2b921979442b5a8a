// GELU(x) = x P(x) for vectors, where P is the distribution function of the standard normal and p its density.
#pragma once

#include "simd.h"

namespace simd {

template <typename T>
struct Normal {
  Vec<T> distribution, density;
};

// To about 1e-7 of the distribution function (Abramowitz and Stegun, 7.1.26).
inline Normal<float> normal(Vec<float> x) {
  constexpr float root_half = 0.70710678118654752f, density_at_0 = 0.39894228040143268f;
  const Vec<float> z = (x < 0 ? -x : x) * root_half;
  const Vec<float> bell = exp_nonpositive(-z * z);
  const Vec<float> t = 1.0f / (1.0f + 0.3275911f * z);
  Vec<float> p = t * 1.061405429f - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const Vec<float> tail = 0.5f * p * t * bell;
  return {x < 0 ? tail : 1.0f - tail, density_at_0 * bell};
}

inline Normal<double> normal(Vec<double> x) {
  constexpr double root_half = 0.70710678118654752440, density_at_0 = 0.39894228040143267794;
  Normal<double> found;
  for (int lane = 0; lane < kLanes<double>; ++lane) {
    found.distribution[lane] = 0.5 * std::erfc(-x[lane] * root_half);
    found.density[lane] = density_at_0 * std::exp(-0.5 * x[lane] * x[lane]);
  }
  return found;
}

template <typename T>
inline Vec<T> gelu(Vec<T> x) {
  return x * normal(x).distribution;
}

// The derivative of GELU at x, given the normal distribution there.
template <typename T>
inline Vec<T> gelu_slope(Vec<T> x, const Normal<T>& at) {
  return at.distribution + x * at.density;
}

}  // namespace simd
