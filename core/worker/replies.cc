#include "core/worker/replies.h"

#include <iterator>

namespace mobula::runtime {

void Replies::send(RunningCall& call) {
  ReplyHeader header;
  header.status = call.failed ? CallStatus::kError : CallStatus::kOk;
  header.returns = call.header.returns;
  header.call = call.header.call;
  header.run_ns = call.run_ns;
  header.references = static_cast<std::uint32_t>(call.returned.size());
  for (const ObjectRef& ref : call.returned) {
    LocalObject& object = local(ref);
    references_.list(object);
    call.reply.put(object.id());
    encode(object.borrowed() ? object.more().owner->address : links_.self(), call.reply);
  }
  if (!call.returned.empty() && !call.from->lost) returned_[{call.from, call.header.call}] = std::move(call.returned);
  links_.send(*call.from, Hot::kReply, base::object_bytes(header), call.reply.view());
}

void Replies::refuse(Peer& to, const CallHeader& call, const ErrorInfo& error) {
  ReplyHeader reply;
  reply.status = CallStatus::kError;
  reply.call = call.call;
  base::Buffer payload;
  encode(error, payload);
  links_.send(to, Hot::kReply, base::object_bytes(reply), payload.view());
}

void Replies::send_back(Peer& to, const CallHeader& call) {
  ReplyHeader reply;
  reply.status = CallStatus::kReturned;
  reply.call = call.call;
  links_.send(to, Hot::kReply, base::object_bytes(reply), {});
}

std::vector<ObjectRef> Replies::take_returned(Peer& peer) {
  std::vector<ObjectRef> refs;
  std::erase_if(returned_, [&](auto& entry) {
    if (entry.first.first != &peer) return false;
    refs.insert(refs.end(), std::make_move_iterator(entry.second.begin()), std::make_move_iterator(entry.second.end()));
    return true;
  });
  return refs;
}

}  // namespace mobula::runtime
