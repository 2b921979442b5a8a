// The lattice around a set of points: its vertices, which points are next to them, and how they hang together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "geometry.h"
#include "parallel.h"
#include "table.h"
#include "vertices.h"

namespace permutohedral {

template <typename T>
struct Weighted {
  std::int32_t index = 0;
  T weight = 0;
};

template <typename T>
struct Lattice {
  int points, dims, vertices;
  std::vector<Weighted<T>> slices;  // (points, dims + 1): the vertices around each point
  Rows<Weighted<T>> splats;         // for each vertex the points around it
  std::vector<Chains> chains;       // for each direction

  // `features` (points, dims), contiguous. With `bridges`, a vertex that no point is next to is added if two of its
  // neighbours or more are occupied.
  Lattice(const double* features, int points, int dims, bool bridges, int threads) : points(points), dims(dims) {
    double reach[kMostFeatures] = {};
    for (std::int64_t i = 0; i < std::int64_t(points) * dims; ++i) {
      reach[i % dims] = std::max(reach[i % dims], std::abs(features[i]));
    }
    const Embedding embedding(dims);
    const Packing packing(dims, embedding.bound(reach));
    const std::vector<Key> keys = sort(place(features, embedding, packing, threads), packing, bridges);
    vertices = static_cast<int>(keys.size());
    gather();
    chains.resize(dims + 1);
    parallel::run(dims + 1, threads, [&](int j, int) { chains[j] = chained(keys, packing.step(j)); });
  }

 private:
  static constexpr int kKeysAhead = 16;  // how many keys to prefetch

  // Finds the vertices around each point, numbered as they come.
  Table place(const double* features, const Embedding& embedding, const Packing& packing, int threads) {
    constexpr int block = 1024;
    const int size = dims + 1;
    const std::size_t count = std::size_t(points) * size;
    slices.resize(count + kSpare);
    std::vector<Key> keys(count);
    parallel::run((points + block - 1) / block, threads, [&](int task, int) {
      for (int n = task * block; n < std::min(points, (task + 1) * block); ++n) {
        const Simplex simplex(embedding(features + std::size_t(n) * dims), dims);
        Key key = packing.key(simplex.origin);
        for (int k = 0; k < size; ++k) {
          const std::size_t at = std::size_t(n) * size + k;
          keys[at] = key;
          slices[at].weight = static_cast<T>(simplex.weight[k]);
          if (k < dims) key += packing.step(simplex.direction[k]);
        }
      }
    });
    Table table;
    for (std::size_t i = 0; i < count; ++i) {
      if (i + kKeysAhead < count) table.prefetch(keys[i + kKeysAhead]);
      slices[i].index = table.insert(keys[i]);
    }
    return table;
  }

  // Adds the bridges and numbers all vertices in the order of their keys, which are returned.
  std::vector<Key> sort(const Table& occupied, const Packing& packing, bool bridges) {
    std::vector<Key> keys = occupied.keys();
    std::sort(keys.begin(), keys.end());
    if (bridges) keys = bridged(keys, packing, dims);
    std::vector<std::int32_t> rank(occupied.size());
    for (std::size_t v = 0; v < keys.size(); ++v) {
      if (v + kKeysAhead < keys.size()) occupied.prefetch(keys[v + kKeysAhead]);
      const int number = occupied.find(keys[v]);
      if (number != Table::kAbsent) rank[number] = static_cast<std::int32_t>(v);
    }
    for (std::size_t i = 0; i < std::size_t(points) * (dims + 1); ++i) slices[i].index = rank[slices[i].index];
    return keys;
  }

  // Turns the table of the vertices around each point into that of the points around each vertex.
  void gather() {
    const std::size_t count = std::size_t(points) * (dims + 1);
    splats.start.assign(vertices + 1, 0);
    for (std::size_t i = 0; i < count; ++i) ++splats.start[slices[i].index + 1];
    for (int v = 0; v < vertices; ++v) splats.start[v + 1] += splats.start[v];
    std::vector<std::int32_t> next(splats.start.begin(), splats.start.end() - 1);
    splats.entries.resize(count + kSpare);
    for (std::size_t i = 0; i < count; ++i) {
      splats.entries[next[slices[i].index]++] = {static_cast<std::int32_t>(i / (dims + 1)), slices[i].weight};
    }
  }
};

}  // namespace permutohedral
