// The tensors of the selective scans, as a vector of channels sees them.
#pragma once

#include "native.h"
#include "scan.h"

namespace native::scan {

template <typename T>
using Optional = std::optional<Array<const T>>;

// A (B, G, N, L) tensor, at one image, group and position.
template <typename T>
Coefficients<T> coefficients(const Array<T>& a, int b, int g, int first) {
  return {a.data() + b * a.stride(0) + g * a.stride(1) + first * a.stride(3), a.stride(2), a.stride(3)};
}

// The gradient of B or C (splits, B, G, N, L), apart for each part of a group's vectors.
template <typename T>
Coefficients<T> part(const Array<T>& a, int split, int b, int g, int first) {
  T* const data = a.data() + split * a.stride(0) + b * a.stride(1) + g * a.stride(2) + first * a.stride(4);
  return {data, a.stride(3), a.stride(4)};
}

template <typename T>
void write_lanes(Vec<T> values, const Array<T>& to, int b, int first, int count) {
  for (int lane = 0; lane < count; ++lane) {
    to.data()[b * to.stride(0) + (first + lane) * to.stride(1)] = values[lane];
  }
}

template <typename T>
Vec<T> lanes_of(const Optional<T>& a, int first, int count) {
  Vec<T> found = {};
  for (int lane = 0; a && lane < count; ++lane) found[lane] = a->data()[(first + lane) * a->stride(0)];
  return found;
}

// The parameters of the `count` channels from `first` on, of all groups.
template <typename T>
Channels<T> parameters(const Array<const T>& A, const Optional<T>& D, const Optional<T>& bias, bool softplus, int first,
                       int count) {
  Channels<T> found(A.shape(1), softplus);
  for (int n = 0; n < found.states; ++n) {
    for (int lane = 0; lane < count; ++lane) {
      found.exponents[n * kLanes<T> + lane] = A.data()[(first + lane) * A.stride(0) + n * A.stride(1)] / T(kLn2);
    }
  }
  found.skip = lanes_of<T>(D, first, count);
  found.bias = lanes_of<T>(bias, first, count);
  return found;
}

// The states (N, D) of one image at the start of a chunk, or of the gradient of the last one: (D, N).
template <typename T>
simd::Strip<T> kept(const Array<T>& states, int b, int number, int first, int count) {
  return {states.data() + b * states.stride(0) + number * states.stride(1) + first, 1, states.stride(2), count};
}

template <typename T>
simd::Strip<T> end(const Array<T>& states, int b, int first, int count) {
  return {states.data() + b * states.stride(0) + first * states.stride(1), states.stride(1), states.stride(2), count};
}

}  // namespace native::scan
