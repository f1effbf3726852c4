#pragma once

#include <utility>

#include "core/worker/engine.h"
#include "core/worker/local_object.h"
#include "core/worker/local_store.h"
#include "core/worker/runtime.h"

namespace mobula::runtime {

// Heap memory for values that travel inside messages.
class HeapObject final : public WritableObject {
 public:
  explicit HeapObject(std::size_t n) : view_(aligned_block(n)) {}
  Bytes bytes() override { return {const_cast<std::byte*>(view_.bytes.data()), view_.bytes.size()}; }
  const View& view() const { return view_; }

 private:
  View view_;
};

// Memory of the node's store, not sealed yet.  Destroyed unsealed it takes the engine's lock to give the memory back.
class StoreObject final : public WritableObject {
 public:
  StoreObject(Engine& engine, LocalStore& store, objstore::Allocation allocation)
      : engine_(engine), store_(store), allocation_(std::move(allocation)) {}
  ~StoreObject() override {
    if (!allocation_.valid()) return;
    const RuntimeUse use;
    if (!use) return;  // After the session: the memory is the raylet's again, and the engine is gone.
    Engine::Lock lock(engine_);
    store_.abort(std::move(allocation_));
  }
  Bytes bytes() override { return allocation_.bytes(); }
  objstore::Allocation& allocation() { return allocation_; }

 private:
  Engine& engine_;
  LocalStore& store_;
  objstore::Allocation allocation_;
};

}  // namespace mobula::runtime
