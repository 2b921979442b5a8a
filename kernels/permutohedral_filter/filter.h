// Splat, blur and slice: values are filtered over a lattice, some channels at a time, a row of channels for each vertex.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>

#include "lattice.h"
#include "native.h"
#include "simd.h"

namespace permutohedral {

constexpr int kGroupBytes = 32;
constexpr int kMostGroups = 4;
constexpr int kAhead = kSpare;  // how far before its use a row is prefetched
constexpr int kBlock = 512;  // points or vertices of a task

// `Groups` small vectors: the channels that are filtered together. Each is loaded, added and stored on its own, in loops
// that are unrolled by demand: else GCC copies whole rows through the stack, which takes three times as long.
template <typename T, int Groups>
struct Channels {
  typedef T Group __attribute__((vector_size(kGroupBytes)));
  static constexpr int kEach = kGroupBytes / static_cast<int>(sizeof(T));
  static constexpr int kCount = Groups * kEach;

  Group group[Groups];

  Channels() {
#pragma GCC unroll 4
    for (int g = 0; g < Groups; ++g) group[g] = Group{};
  }
  static Channels at(const T* from) {
    Channels row;
#pragma GCC unroll 4
    for (int g = 0; g < Groups; ++g) row.group[g] = load(from + g * kEach);
    return row;
  }
  // Starts to load a row.
  static void prefetch(const T* from) {
    for (int byte = 0; byte < Groups * kGroupBytes; byte += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(from) + byte);
    }
  }
  void store(T* to) const {
#pragma GCC unroll 4
    for (int g = 0; g < Groups; ++g) {
      const Group vector = group[g];
      std::memcpy(to + g * kEach, &vector, sizeof vector);
    }
  }
  void add(T weight, const T* from) {
#pragma GCC unroll 4
    for (int g = 0; g < Groups; ++g) group[g] += weight * load(from + g * kEach);
  }
  // This row with half of both its neighbours.
  Channels blurred(const Channels& before, const Channels& after) const {
    Channels out;
#pragma GCC unroll 4
    for (int g = 0; g < Groups; ++g) out.group[g] = group[g] + T(0.5) * (before.group[g] + after.group[g]);
    return out;
  }

 private:
  static Group load(const T* from) {
    Group vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
  }
};

// What filtering a constant gives is the sum over the Gaussian when points are spread evenly: the weight of a vertex is
// the Gaussian's integral over the volume of a lattice cell. Each of the d + 1 blurs here sums to two.
inline double amplitude(int dims) {
  const double integral = std::pow(2 * 3.14159265358979323846, dims / 2.0);
  const double cell = std::pow(1.5, dims / 2.0) / std::sqrt(dims + 1.0);
  return integral / cell / std::pow(2.0, dims + 1);
}

// Memory that is kept from one call to the next, on cache lines; its content is not.
template <typename T>
class Scratch {
 public:
  T* of(std::size_t count) {
    if (count > count_) {
      data_.reset();
      data_.reset(static_cast<T*>(::operator new[](count * sizeof(T), std::align_val_t{64})));
      count_ = count;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(T* data) const { ::operator delete[](data, std::align_val_t{64}); }
  };
  std::unique_ptr<T[], Free> data_;
  std::size_t count_ = 0;
};

template <typename T>
class Filter {
 public:
  Filter(const double* features, int points, int dims, bool bridges, int threads)
      : lattice_(features, points, dims, bridges, threads) {}

  int points() const { return lattice_.points; }
  int vertices() const { return lattice_.vertices; }

  // values and out: (channels, points), any strides. `transpose` takes the blurs in the reverse order.
  void apply(const native::Array<T>& values, const native::Array<T>& out, bool transpose, int threads) {
    constexpr int each = Channels<T, 1>::kEach, most = kMostGroups * each;
    const std::lock_guard<std::mutex> lock(busy_);
    const int channels = static_cast<int>(values.shape(0));
    const int blocks = (channels + most - 1) / most;
    for (int block = 0; block < blocks; ++block) {
      const int first = channels * block / blocks, count = channels * (block + 1) / blocks - first;
      simd::with_constant<kMostGroups>((count + each - 1) / each, [&](auto groups) {
        pass<groups>(Map(values, first, count), Map(out, first, count), transpose, threads);
      });
    }
  }

 private:
  // Some channels of a (channels, points) array.
  struct Map {
    T* data;
    std::ptrdiff_t channel, point;
    int count;

    Map(const native::Array<T>& array, int first, int count)
        : data(array.data() + first * array.stride(0)), channel(array.stride(0)), point(array.stride(1)), count(count) {}

    // Whether the points lie in memory as the filter takes them: rows of so many channels, one after another.
    bool is_rows(int width) const { return count == width && channel == 1 && point == width; }
  };

  template <typename F>
  static void blocks(int count, int threads, F&& f) {
    parallel::run((count + kBlock - 1) / kBlock, threads,
                  [&](int task, int) { f(task * kBlock, std::min(count, (task + 1) * kBlock)); });
  }

  template <int Groups>
  void pass(const Map& values, const Map& out, bool transpose, int threads) {
    using Row = Channels<T, Groups>;
    constexpr int width = Row::kCount;
    T* const packed = points_.of(std::size_t(lattice_.points) * width);
    T* const rows = rows_.of(std::size_t(lattice_.vertices) * width);
    const T* const from = values.is_rows(width) ? values.data : packed;
    T* const to = out.is_rows(width) ? out.data : packed;
    if (from == packed) {
      blocks(lattice_.points, threads, [&](int first, int last) { pack<width>(values, first, last, packed); });
    }
    blocks(lattice_.vertices, threads, [&](int first, int last) {
      for (int v = first; v < last; ++v) {
        Row sum;
        for (int i = lattice_.splats.start[v]; i < lattice_.splats.start[v + 1]; ++i) {
          const Weighted<T>& entry = lattice_.splats.entries[i];
          Row::prefetch(from + std::size_t((&entry)[kAhead].index) * width);
          sum.add(entry.weight, from + std::size_t(entry.index) * width);
        }
        sum.store(rows + std::size_t(v) * width);
      }
    });
    for (int j = 0; j <= lattice_.dims; ++j) {
      blur<Row>(lattice_.chains[transpose ? lattice_.dims - j : j], rows, threads);
    }
    const T factor = static_cast<T>(amplitude(lattice_.dims));
    const int size = lattice_.dims + 1;
    blocks(lattice_.points, threads, [&](int first, int last) {
      for (int n = first; n < last; ++n) {
        Row sum;
        for (int k = 0; k < size; ++k) {
          const Weighted<T>& entry = lattice_.slices[std::size_t(n) * size + k];
          Row::prefetch(rows + std::size_t((&entry)[kAhead].index) * width);
          sum.add(factor * entry.weight, rows + std::size_t(entry.index) * width);
        }
        sum.store(to + std::size_t(n) * width);
      }
      if (to == packed) unpack<width>(packed, first, last, out);
    });
  }

  template <int Width>
  static void pack(const Map& from, int first, int last, T* to) {
    for (int n = first; n < last; ++n) {
      T* const row = to + std::size_t(n) * Width;
      const T* const at = from.data + n * from.point;
      if (from.channel == 1) {
        std::memcpy(row, at, from.count * sizeof(T));
        std::fill(row + from.count, row + Width, T(0));
        continue;
      }
      for (int c = 0; c < Width; ++c) row[c] = c < from.count ? at[c * from.channel] : T(0);
    }
  }

  template <int Width>
  static void unpack(const T* from, int first, int last, const Map& to) {
    for (int n = first; n < last; ++n) {
      const T* const row = from + std::size_t(n) * Width;
      T* const at = to.data + n * to.point;
      if (to.channel == 1) {
        std::memcpy(at, row, to.count * sizeof(T));
        continue;
      }
      for (int c = 0; c < to.count; ++c) at[c * to.channel] = row[c];
    }
  }

  // Blurs along the chains of one direction in place: each row is read once and written once.
  template <typename Row>
  static void blur(const Chains& chains, T* rows, int threads) {
    const int count = static_cast<int>(chains.start.size()) - 1;
    blocks(count, threads, [&](int first, int last) {
      for (int chain = first; chain < last; ++chain) {
        const std::int32_t* const begin = chains.entries.data() + chains.start[chain];
        const std::int32_t* const end = chains.entries.data() + chains.start[chain + 1];
        Row before, here = Row::at(rows + std::size_t(*begin) * Row::kCount);
        for (const std::int32_t* at = begin; at < end; ++at) {
          Row::prefetch(rows + std::size_t(at[kAhead]) * Row::kCount);
          Row after;
          if (at + 1 < end) after = Row::at(rows + std::size_t(at[1]) * Row::kCount);
          here.blurred(before, after).store(rows + std::size_t(*at) * Row::kCount);
          before = here;
          here = after;
        }
      }
    });
  }

  Lattice<T> lattice_;
  Scratch<T> points_, rows_;
  std::mutex busy_;
};

}  // namespace permutohedral
