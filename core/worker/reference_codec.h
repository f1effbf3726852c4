#pragma once

#include "core/base/bytes.h"
#include "core/worker/actor_client.h"
#include "core/worker/engine.h"
#include "core/worker/links.h"
#include "core/worker/references.h"
#include "core/worker/runtime.h"

namespace mobula::runtime {

// References and actor handles inside values: as bytes that name the owner, and back, borrowed where that is due.
//
// Any thread; takes the engine's lock itself.
class ReferenceCodec {
 public:
  ReferenceCodec(Engine& engine, Links& links, References& references, ActorClient& actors)
      : engine_(engine), links_(links), references_(references), actors_(actors) {}

  void encode_reference(const ObjectRef& ref, base::Buffer& out);
  ObjectRef decode_reference(base::Cursor& in);  // Empty when malformed; so below.
  void encode_actor(const ActorRef& actor, base::Buffer& out);
  ActorRef decode_actor(base::Cursor& in);

 private:
  Engine& engine_;
  Links& links_;
  References& references_;
  ActorClient& actors_;
};

}  // namespace mobula::runtime
