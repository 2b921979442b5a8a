// Where a point lies in the permutohedral lattice: its simplex, its barycentric coordinates and the keys of its vertices.
//
// In d dimensions the lattice is (d + 1) A*_d: integer vectors of d + 1 coordinates that sum to zero and leave the same
// remainder modulo d + 1. Two vertices are neighbours along direction j if they differ by all ones minus d + 1 at j.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>

namespace permutohedral {

using Key = unsigned __int128;
constexpr Key kBeyond = ~Key(0);  // greater than the key of any vertex

constexpr int kMostFeatures = 16;
constexpr double kFinest = 1048576.0;  // the simplex is chosen from coordinates rounded to 1 / kFinest; see reference.py

// A vector of the hyperplane on which the lattice lies.
using Vector = std::array<double, kMostFeatures + 1>;

// Turns features into the lattice's coordinates; a distance of one becomes sqrt(2 / 3) (d + 1), which makes the variance
// of splat, blur and slice together that of the Gaussian.
class Embedding {
 public:
  explicit Embedding(int dims) : dims_(dims) {
    for (int i = 0; i < dims; ++i) scale_[i] = std::sqrt(2.0 / 3.0) * (dims + 1) / std::sqrt((i + 1.0) * (i + 2.0));
  }

  Vector operator()(const double* features) const {
    Vector out;
    double tail = 0;
    for (int i = dims_; i > 0; --i) {
      const double scaled = features[i - 1] * scale_[i - 1];
      out[i] = tail - i * scaled;
      tail += scaled;
    }
    out[0] = tail;
    return out;
  }

  // The largest size of each coordinate of points whose features are at most `reach` in size.
  Vector bound(const double* reach) const {
    Vector out;
    double tail = 0;
    for (int i = dims_; i > 0; --i) {
      const double scaled = reach[i - 1] * scale_[i - 1];
      out[i] = tail + i * scaled;
      tail += scaled;
    }
    out[0] = tail;
    return out;
  }

 private:
  int dims_;
  std::array<double, kMostFeatures> scale_;
};

// One number for each vertex: the first d coordinates side by side, in as many bits as their range needs. Sums of keys
// are keys of sums.
class Packing {
 public:
  // `reach`: the largest size of each coordinate of a point.
  Packing(int dims, const Vector& reach) : dims_(dims) {
    int used = 0;
    for (int i = 0; i < dims; ++i) {
      offset_[i] = static_cast<std::int64_t>(std::ceil(reach[i])) + 4 * (dims + 1);  // vertices, and two steps beyond
      shift_[i] = used;
      for (std::int64_t rest = 2 * offset_[i]; rest > 0; rest /= 2) ++used;
    }
    if (used > 128) throw std::invalid_argument("the features span too wide a range for one lattice");
    Key ones = 0;
    for (int i = 0; i < dims; ++i) ones += Key(1) << shift_[i];
    for (int i = 0; i <= dims; ++i) step_[i] = i < dims ? ones - (Key(dims + 1) << shift_[i]) : ones;
  }

  Key key(const std::array<std::int64_t, kMostFeatures + 1>& vertex) const {
    Key key = 0;
    for (int i = 0; i < dims_; ++i) key += Key(static_cast<std::uint64_t>(vertex[i] + offset_[i])) << shift_[i];
    return key;
  }

  // What to add to the key of a vertex for the key of its neighbour along direction j.
  Key step(int j) const { return step_[j]; }

 private:
  int dims_;
  std::array<std::int64_t, kMostFeatures> offset_;
  std::array<int, kMostFeatures> shift_;
  std::array<Key, kMostFeatures + 1> step_;
};

// The simplex around a point. Its vertex of remainder k + 1 is the neighbour of that of remainder k along
// `direction[k]`, and the point is the sum of all vertices weighted by `weight`.
struct Simplex {
  std::array<std::int64_t, kMostFeatures + 1> origin;
  std::array<int, kMostFeatures + 1> direction;
  Vector weight;

  Simplex(const Vector& point, int dims) {
    const int size = dims + 1;
    std::array<double, kMostFeatures + 1> rest;
    std::array<int, kMostFeatures + 1> order;
    std::int64_t sum = 0;
    for (int i = 0; i < size; ++i) {
      const double rounded = std::nearbyint(point[i] * kFinest) / kFinest;
      const double multiple = std::floor(rounded / size + 0.5);
      origin[i] = static_cast<std::int64_t>(multiple) * size;
      rest[i] = rounded - multiple * size;
      sum += static_cast<std::int64_t>(multiple);
      int at = i;  // insertion keeps equal ones in their order
      for (; at > 0 && rest[order[at - 1]] < rest[i]; --at) order[at] = order[at - 1];
      order[at] = i;
    }
    // The multiples must sum to zero: the largest rests go up by one, or the smallest down.
    if (sum < 0) std::rotate(order.begin(), order.begin() - sum, order.begin() + size);
    if (sum > 0) std::rotate(order.begin(), order.begin() + (size - sum), order.begin() + size);
    for (int i = 0; i < -sum; ++i) origin[order[size - 1 - i]] += size;
    for (int i = 0; i < sum; ++i) origin[order[i]] -= size;
    for (int k = 0; k < dims; ++k) direction[k] = order[dims - k];
    double above = (point[order[0]] - origin[order[0]]) / size - 1;
    for (int k = 0; k < size; ++k) {
      const int i = order[dims - k];
      const double here = (point[i] - origin[i]) / size;
      weight[k] = here - above;
      above = here;
    }
  }
};

}  // namespace permutohedral
