// The vertices of a lattice as a sorted list of keys. A step added to all keys keeps their order: neighbours are found by
// walking along several such lists at once, and the blur along a direction goes through memory in order.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "geometry.h"

namespace permutohedral {

// Entries that follow the last one of a list, all zero, so that the filter may look that far ahead.
constexpr int kSpare = 12;

// Compressed rows: the entries of row i are those from start[i] to start[i + 1].
template <typename Entry>
struct Rows {
  std::vector<std::int32_t> start;
  std::vector<Entry> entries;
};

// Runs of neighbouring vertices along one direction, each of two at least, one after another.
using Chains = Rows<std::int32_t>;

// The occupied vertices and those between them, the bridges, which have two or more of them for neighbours. Both lists are
// sorted.
inline std::vector<Key> bridged(const std::vector<Key>& occupied, const Packing& packing, int dims) {
  constexpr int most = 2 * (kMostFeatures + 1) + 1;
  const int walks = 2 * (dims + 1) + 1;  // the occupied, and where they arrive by a step along each direction
  std::array<Key, most> step, head;
  std::array<std::size_t, most> at{};
  step[0] = 0;
  for (int j = 0; j <= dims; ++j) {
    step[2 * j + 1] = packing.step(j);
    step[2 * j + 2] = -packing.step(j);
  }
  for (int w = 0; w < walks; ++w) head[w] = occupied[0] + step[w];
  std::vector<Key> found;
  for (;;) {
    Key least = kBeyond;
    for (int w = 0; w < walks; ++w) least = std::min(least, head[w]);
    if (least == kBeyond) return found;
    int met = head[0] == least;  // an occupied vertex counts twice
    for (int w = 0; w < walks; ++w) {
      if (head[w] != least) continue;
      ++met;
      ++at[w];
      head[w] = at[w] < occupied.size() ? occupied[at[w]] + step[w] : kBeyond;
    }
    if (met >= 2) found.push_back(least);
  }
}

// The chains of sorted vertices along the direction of a step.
inline Chains chained(const std::vector<Key>& vertices, Key step) {
  constexpr std::int32_t none = -1;
  const auto count = static_cast<std::int32_t>(vertices.size());
  std::vector<std::int32_t> next(count, none);
  std::vector<std::uint8_t> follows(count, 0);
  for (std::int32_t v = 0, at = 0; v < count; ++v) {
    const Key neighbour = vertices[v] + step;
    while (at < count && vertices[at] < neighbour) ++at;
    if (at == count) break;
    if (vertices[at] != neighbour) continue;
    next[v] = at;
    follows[at] = 1;
  }
  Chains found;
  found.start.push_back(0);
  for (std::int32_t v = 0; v < count; ++v) {
    if (follows[v] || next[v] == none) continue;
    for (std::int32_t at = v; at != none; at = next[at]) found.entries.push_back(at);
    found.start.push_back(static_cast<std::int32_t>(found.entries.size()));
  }
  found.entries.resize(found.entries.size() + kSpare);
  return found;
}

}  // namespace permutohedral
