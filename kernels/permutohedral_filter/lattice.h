// The vertices of the lattice around a set of points, and how they hang together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "geometry.h"
#include "parallel.h"
#include "table.h"

namespace permutohedral {

// Entries that follow the last one of a list, all zero, so that the filter may look that far ahead.
constexpr int kSpare = 12;

// Compressed rows: the entries of row i are those from start[i] to start[i + 1].
template <typename Entry>
struct Rows {
  std::vector<std::int32_t> start;
  std::vector<Entry> entries;
};

template <typename T>
struct Weighted {
  std::int32_t index = 0;
  T weight = 0;
};

// Runs of neighbouring vertices along one direction, each of two at least, one after another.
using Chains = Rows<std::int32_t>;

template <typename T>
struct Lattice {
  int points, dims, occupied, vertices;
  std::vector<Weighted<T>> slices;  // (points, dims + 1): the vertices around each point
  Rows<Weighted<T>> splats;         // for each occupied vertex the points around it
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
    Table table;
    place(features, embedding, packing, table, threads);
    occupied = table.size();
    gather();
    if (bridges) bridge(packing, table);
    vertices = table.size();
    chains.resize(dims + 1);
    parallel::run(dims + 1, threads, [&](int j, int) { chains[j] = chained(packing.step(j), table); });
  }

 private:
  static constexpr int kKeysAhead = 16;  // how many keys to prefetch

  // Inserts the vertices around each point.
  void place(const double* features, const Embedding& embedding, const Packing& packing, Table& table, int threads) {
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
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (i + kKeysAhead < keys.size()) table.prefetch(keys[i + kKeysAhead]);
      slices[i].index = table.insert(keys[i]);
    }
  }

  // Turns the table of the vertices around each point into that of the points around each vertex.
  void gather() {
    const std::size_t count = std::size_t(points) * (dims + 1);
    splats.start.assign(occupied + 1, 0);
    for (std::size_t i = 0; i < count; ++i) ++splats.start[slices[i].index + 1];
    for (int v = 0; v < occupied; ++v) splats.start[v + 1] += splats.start[v];
    std::vector<std::int32_t> next(splats.start.begin(), splats.start.end() - 1);
    splats.entries.resize(count + kSpare);
    for (std::size_t i = 0; i < count; ++i) {
      splats.entries[next[slices[i].index]++] = {static_cast<std::int32_t>(i / (dims + 1)), slices[i].weight};
    }
  }

  template <typename F>
  void each_neighbour(const Packing& packing, const Table& table, F&& f) const {
    for (int v = 0; v < occupied; ++v) {
      for (int j = 0; j <= dims; ++j) {
        f(table.key(v) + packing.step(j));
        f(table.key(v) - packing.step(j));
      }
    }
  }

  // Adds the vertices between occupied ones. Counters that several keys may share sort out most candidates at first.
  void bridge(const Packing& packing, Table& table) const {
    std::size_t room = 1 << 16;
    while (room < 8 * std::size_t(occupied) * (dims + 1)) room *= 2;
    std::vector<std::uint8_t> seen(room);
    each_neighbour(packing, table, [&](Key key) {
      std::uint8_t& count = seen[(hash(key) >> 24) & (room - 1)];
      count += count < 2;
    });
    Table candidates;
    std::vector<std::uint8_t> met;
    each_neighbour(packing, table, [&](Key key) {
      if (seen[(hash(key) >> 24) & (room - 1)] < 2 || table.find(key) != Table::kAbsent) return;
      const int number = candidates.insert(key);
      if (number == static_cast<int>(met.size())) met.push_back(0);
      met[number] += met[number] < 2;
    });
    for (int number = 0; number < candidates.size(); ++number) {
      if (met[number] == 2) table.insert(candidates.key(number));
    }
  }

  Chains chained(Key step, const Table& table) const {
    std::vector<std::int32_t> next(vertices);
    std::vector<std::uint8_t> follows(vertices, 0);
    for (int v = 0; v < vertices; ++v) {
      if (v + kKeysAhead < vertices) table.prefetch(table.key(v + kKeysAhead) + step);
      next[v] = table.find(table.key(v) + step);
      if (next[v] != Table::kAbsent) follows[next[v]] = 1;
    }
    Chains found;
    found.start.push_back(0);
    for (int v = 0; v < vertices; ++v) {
      if (follows[v] || next[v] == Table::kAbsent) continue;
      for (int at = v; at != Table::kAbsent; at = next[at]) found.entries.push_back(at);
      found.start.push_back(static_cast<std::int32_t>(found.entries.size()));
    }
    found.entries.resize(found.entries.size() + kSpare);
    return found;
  }
};

}  // namespace permutohedral
