// What many viewers are told alike: blocks of peers in whole maps, and deltas of one node.
#include "native/control/tailnet.h"
#include "native/control/tailnet_state.h"

#include <algorithm>

namespace es::control {

void Tailnet::spoil_block(const Entry& entry) {
  const size_t number = entry.slot / PeerBlock::kSlots;
  if (number >= blocks_.size()) blocks_.resize(number + 1);
  blocks_[number].stale = true;
}

const Tailnet::PeerBlock& Tailnet::peer_block(size_t number) {
  PeerBlock& block = blocks_[number];
  if (!block.stale) return block;
  block = {};
  block.stale = false;
  const size_t begin = number * PeerBlock::kSlots;
  const size_t end = std::min(begin + PeerBlock::kSlots, slots_.size());
  bool uniform = true;
  for (size_t slot = begin; slot < end; ++slot) {
    if (slots_[slot] == nullptr) continue;
    block.members.set(static_cast<uint32_t>(slot));
    uniform = uniform && same_for_all(*slots_[slot]);
  }
  if (!uniform || block.members.none()) return block;
  std::string text;
  for (size_t slot = begin; slot < end; ++slot) {
    if (slots_[slot] != nullptr) text += common_piece(*slots_[slot])->text;
  }
  if (number == 0) block.first = make_map_piece(",\"Peers\":[" + text.substr(1));
  block.later = make_map_piece(std::move(text));
  return block;
}

// A block goes whole to who sees all of it. Of the others the viewer gets his own text: they hold
// himself, somebody whom he may not see, or somebody who looks different to him.
void Tailnet::write_peers(const MapSession& session, const Entry& self, MapPayload& out) {
  bool first = true;
  for (size_t number = 0; number < blocks_.size(); ++number) {
    const PeerBlock& block = peer_block(number);
    const bool all = self.slot / PeerBlock::kSlots != number && !session.policy_.ipv4_disabled &&
                     (policy_ == nullptr || self.peers.covers(block.members));
    const auto& shared = first ? block.first : block.later;
    if (all && shared != nullptr) {
      out.piece(shared);
      first = false;
      continue;
    }
    block.members.for_each([&](uint32_t slot) {
      Entry& entry = *slots_[slot];
      if (!sees(self, entry)) return;
      const std::string& text = peer_piece(entry, session)->text;
      if (first) out.text(",\"Peers\":[");
      out.text(first ? std::string_view(text).substr(1) : text);
      first = false;
    });
  }
  if (!first) out.text("]");
}

// Nothing when the session has to hear more, or something of its own.
std::optional<Tailnet::SharedDelta> Tailnet::delta_to_share(const MapSession& session) const {
  const bool only_marks = session.marks_.size() == 1 && !session.self_ && session.shared_ == 0 &&
                          session.pings_.empty() && session.policy_.next_filter == nullptr &&
                          session.policy_.next_ssh == nullptr;
  if (!only_marks || (policy_ == nullptr && session.policy_.rules != std::vector{kOpenRule})) {
    return std::nullopt;
  }
  const auto [id, marks] = *session.marks_.begin();
  SharedDelta out;
  out.id = id;
  out.marks = marks;
  out.compression = session.compression_;
  const auto it = nodes_.find(id);
  if (it == nodes_.end()) {
    out.marks = kRemoved;
    return out;
  }
  const Entry& entry = it->second;
  out.version = entry.node->version;
  const bool whole = (marks & kWhole) != 0 && (marks & kRemoved) == 0;
  if (whole && (!same_for_all(entry) || session.policy_.ipv4_disabled ||
                !session.profiles_.contains(entry.node->owner()))) {
    return std::nullopt;
  }
  return out;
}

}  // namespace es::control
