#include "core/worker/dispatch.h"

#include <cstring>
#include <vector>

#include "core/os/log.h"

namespace mobula::runtime {

using base::Code;

namespace {

template <class Header>
bool read_header(base::ConstBytes bytes, Header& header) {
  if (bytes.size() != sizeof header) return false;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header.version == Header().version;
}

}  // namespace

void Dispatch::on_reply(Peer& from, const ReplyHeader& header, base::ConstBytes payload) {
  Task* task = p_->calls.tasks().find(header.call);
  if (task == nullptr || task->worker != &from) {
    // Ended meanwhile: cancelled, or its actor was declared dead; or it runs elsewhere.
    if (header.references != 0) p_->references.borrows().take_over(from, header.call, {});
    return;
  }
  if (task->actor != nullptr) {
    p_->actors.on_reply(from, *task, header, payload);
  } else {
    p_->submitter.on_reply(from, *task, header, payload);
  }
}

void Dispatch::message(Peer& from, Hot type, base::ConstBytes header, base::ConstBytes payload) {
  CallHeader call;
  ReplyHeader reply;
  CancelHeader cancel;
  ObjectHeader object;
  TellHeader tell;
  collective::MessageHeader collective;
  switch (type) {
    case Hot::kCall:
      if (read_header(header, call)) return p_->executor.on_call(from, call, payload);
      break;
    case Hot::kReply:
      if (read_header(header, reply)) return on_reply(from, reply, payload);
      break;
    case Hot::kCancel:
      if (read_header(header, cancel)) return p_->executor.on_cancel(from, cancel);
      break;
    case Hot::kTakeBack:
      if (read_header(header, cancel)) return p_->executor.on_take_back(from);
      break;
    case Hot::kObjectGet:
      if (read_header(header, object) && p_->references.values().on_object_get(from, object, payload)) return;
      break;
    case Hot::kObjectValue:
      if (read_header(header, object)) return p_->references.values().on_object_value(object, payload);
      break;
    case Hot::kTell:
      if (read_header(header, tell) && p_->references.borrows().on_tell(from, tell, payload)) return;
      break;
    case Hot::kTold:
      if (read_header(header, tell) && p_->references.borrows().on_told(from, tell, payload)) return;
      break;
    case Hot::kCollective:
      if (read_header(header, collective)) return p_->collectives.on_message(from, collective, payload);
      break;
    case Hot::kLocation:
      if (read_header(header, object)) return p_->references.values().on_location(object, payload);
      break;
  }
  p_->links.declare_lost(from,
                         {Code::kInvalid, "the peer sent a message of unknown type or version, or a malformed one"});
}

void Dispatch::peer_lost(Peer& peer) {
  os::log(os::LogLevel::kInfo, "peer {} lost: {}", peer.address.worker.short_hex(), peer.why_lost.what);
  p_->metrics.peers_lost.add();
  // First: what was under way there is about to be forgotten.
  p_->references.borrows().hold_for(peer, p_->calls.references_at(peer));
  p_->references.borrows().hold_for(peer, p_->executor.take_returned(peer));
  const std::vector<ObjectRef> covered = p_->executor.covered_by(peer);
  p_->collectives.on_peer_lost(peer);
  p_->submitter.on_peer_lost(peer);
  p_->actors.on_peer_lost(peer);
  p_->references.on_peer_lost(peer, covered);
  p_->executor.on_peer_lost(peer);
  p_->engine.notify();
}

}  // namespace mobula::runtime
