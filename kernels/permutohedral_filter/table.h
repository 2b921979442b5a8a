// Which vertices there are: a hash table from keys to numbers, which count from zero in the order of insertion.
#pragma once

#include <cstdint>
#include <vector>

#include "geometry.h"

namespace permutohedral {

inline std::uint64_t hash(Key key) {
  std::uint64_t mixed = static_cast<std::uint64_t>(key) * 0x9e3779b97f4a7c15u;
  mixed ^= static_cast<std::uint64_t>(key >> 64) * 0xc2b2ae3d27d4eb4fu;
  mixed ^= mixed >> 32;
  return mixed * 0x9fb21c651e98df25u;
}

class Table {
 public:
  static constexpr int kAbsent = -1;

  Table() : slots_(1 << 12) {}

  int size() const { return static_cast<int>(keys_.size()); }
  const std::vector<Key>& keys() const { return keys_; }

  // The number of a key, which is added if it is new.
  int insert(Key key) {
    if (2 * keys_.size() >= slots_.size()) grow();
    const std::uint64_t mixed = hash(key);
    Slot& slot = slots_[place(key, mixed)];
    if (slot.number == kAbsent) {
      slot = {tag(mixed), size()};
      keys_.push_back(key);
    }
    return slot.number;
  }

  int find(Key key) const { return slots_[place(key, hash(key))].number; }

  // Starts to load what find(key) will look at.
  void prefetch(Key key) const { __builtin_prefetch(&slots_[first(hash(key))]); }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::int32_t number = kAbsent;
  };

  static std::uint32_t tag(std::uint64_t mixed) { return static_cast<std::uint32_t>(mixed); }
  std::size_t first(std::uint64_t mixed) const { return (mixed >> 32) & (slots_.size() - 1); }

  std::size_t place(Key key, std::uint64_t mixed) const {
    std::size_t at = first(mixed);
    while (slots_[at].number != kAbsent && !(slots_[at].tag == tag(mixed) && keys_[slots_[at].number] == key)) {
      at = (at + 1) & (slots_.size() - 1);
    }
    return at;
  }

  void grow() {
    slots_.assign(2 * slots_.size(), Slot());
    for (int number = 0; number < size(); ++number) {
      const std::uint64_t mixed = hash(keys_[number]);
      slots_[place(keys_[number], mixed)] = {tag(mixed), number};
    }
  }

  std::vector<Slot> slots_;
  std::vector<Key> keys_;
};

}  // namespace permutohedral
