#include "native/policy/slot_table.h"

#include <catch2/catch.hpp>

#include <map>
#include <random>

using namespace es::policy;

namespace {

// Few hashes for many slots, so that they meet, run around the end and shift back.
uint64_t hash_of_key(uint32_t key, uint64_t hashes) { return key % hashes * 0x100000001; }

}  // namespace

TEST_CASE("an empty slot table finds nothing and erases nothing") {
  SlotTable table;
  CHECK(table.find(7, [](Slot) { return true; }) == kAnySlot);
  table.erase(7, 1);
  CHECK(table.size() == 0);
}

TEST_CASE("a slot table agrees with a map through entries, replacements and erasures") {
  constexpr uint64_t kSeed = 20261122;
  for (const uint64_t hashes : {3u, 17u, 1000000u}) {
    INFO("seed " << kSeed << ", " << hashes << " hashes");
    std::mt19937_64 random(kSeed);
    SlotTable table;
    std::map<uint32_t, Slot> model;
    std::map<Slot, uint32_t> key_of;
    const auto is = [&](uint32_t key) {
      return [&key_of, key](Slot slot) { return key_of.at(slot) == key; };
    };
    Slot next = 0;
    for (int step = 0; step < 800; ++step) {
      const auto key = static_cast<uint32_t>(random() % 150);
      const uint64_t hash = hash_of_key(key, hashes);
      if (random() % 3 != 0) {
        const Slot slot = next++;
        key_of[slot] = key;
        table.set(hash, slot, is(key));
        model[key] = slot;
      } else if (const auto it = model.find(key); it != model.end()) {
        table.erase(hash, it->second + 1000000);  // another slot: nothing happens
        table.erase(hash, it->second);
        model.erase(it);
      }
      bool same = table.size() == model.size();
      for (auto k = static_cast<uint32_t>(step % 30); k < 150; k += 30) {  // each in its turn
        const auto it = model.find(k);
        same &= table.find(hash_of_key(k, hashes), is(k)) ==
                (it == model.end() ? kAnySlot : it->second);
      }
      REQUIRE(same);
    }
  }
}
