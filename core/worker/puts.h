#pragma once

#include <memory>

#include "core/worker/engine.h"
#include "core/worker/links.h"
#include "core/worker/local_store.h"
#include "core/worker/process_metrics.h"
#include "core/worker/references.h"
#include "core/worker/runtime.h"
#include "core/worker/thread_context.h"

namespace mobula::runtime {

// Values that this process makes into objects: on the heap while they fit into a message, else in its node's store.
//
// Any thread; takes the engine's lock itself.
class Puts {
 public:
  struct Parts {
    Engine& engine;
    Links& links;
    LocalStore& store;
    References& references;
    Scopes& scopes;
    ProcessMetrics& metrics;
  };
  explicit Puts(Parts parts) : p_(parts) {}

  base::Result<ObjectRef> put(Encoder&& value);
  // An argument or a value that is too long for a message, without what it contains.
  base::Result<ObjectRef> put_payload(const Encoder& value);
  base::Result<std::unique_ptr<WritableObject>> allocate(std::size_t payload_bytes);
  ObjectRef seal(std::unique_ptr<WritableObject> object);

 private:
  Parts p_;
};

}  // namespace mobula::runtime
