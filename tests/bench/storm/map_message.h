// What a message of the map stream says of other nodes, read just far enough to count it.
//
// The reader knows the shape of MapResponse (top-level arrays of objects with "ID" or "NodeID") and
// skips everything else; it is several times cheaper than a JSON tree, so that the load tool does
// not take the processor from the server that it measures.
// Errors: std::runtime_error for what is not zstd or not JSON of that shape.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace es::storm {

struct MapMessage {
  bool whole = false;  // with "Node" and "Peers", or the first of a session
  bool keep_alive = false;
  std::vector<uint64_t> peers;
  std::vector<uint64_t> changed;
  std::vector<uint64_t> patched;
  std::vector<uint64_t> removed;
  uint64_t self = 0;  // the id in "Node"
};

// All frames of a zstd payload, one after the other.
void decompress(std::string_view payload, std::string& out);
MapMessage read_map_message(std::string_view json);

}  // namespace es::storm
