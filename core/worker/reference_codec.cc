#include "core/worker/reference_codec.h"

#include <string>
#include <utility>

#include "core/worker/running_call.h"
#include "core/worker/thread_context.h"

namespace mobula::runtime {

void ReferenceCodec::encode_reference(const ObjectRef& ref, base::Buffer& out) {
  Engine::Lock lock(engine_);
  LocalObject& object = local(ref);
  references_.list(object);
  out.put(object.id());
  encode(object.borrowed() ? object.more().owner->address : links_.self(), out);
}

ObjectRef ReferenceCodec::decode_reference(base::Cursor& in) {
  const auto id = in.get<ObjectId>();
  const auto owner = decode_address(in);
  if (!owner) return {};
  CallScope* const scope = current_scope();
  RunningCall* const call = scope != nullptr ? scope->call : nullptr;
  // What an argument brings is held by the caller until the reply; what get() brings is not.
  Engine::Lock lock(engine_);
  const bool caller_lives = call != nullptr && (call->from == nullptr || !call->from->lost);
  const bool from_argument = caller_lives && !call->has_waited;
  ObjectRef ref = references_.adopt(id, *owner, from_argument ? References::Borrow::kLater : References::Borrow::kNow);
  if (from_argument) call->note_adopted(ref);
  return ref;
}

void ReferenceCodec::encode_actor(const ActorRef& actor, base::Buffer& out) {
  Engine::Lock lock(engine_);
  ActorState& state = *actor.state();
  out.put(state.id);
  out.put(static_cast<std::uint8_t>(state.handle ? 1 : 0));
  out.put_string(state.class_name);
  if (!state.handle) return;
  LocalObject& handle = local(state.handle);
  references_.list(handle);
  encode(handle.borrowed() ? handle.more().owner->address : links_.self(), out);
}

ActorRef ReferenceCodec::decode_actor(base::Cursor& in) {
  const auto id = in.get<ActorId>();
  const auto counted = in.get<std::uint8_t>();
  const std::string class_name(in.get_string());
  ProcessAddress owner;
  if (counted != 0) {
    auto read = decode_address(in);
    if (!read) return {};
    owner = std::move(*read);
  }
  if (!in.ok()) return {};
  Engine::Lock lock(engine_);
  return actors_.adopt(id, owner, class_name);
}

}  // namespace mobula::runtime
