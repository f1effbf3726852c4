#include "core/worker/puts.h"

#include <string>
#include <utility>

#include "core/worker/writable.h"

namespace mobula::runtime {

using base::Code;
using base::Error;
using base::ErrorKind;

namespace {

ErrorInfo store_error(const base::Error& why, std::size_t bytes) {
  ErrorInfo error;
  error.kind = why.code == Code::kExhausted ? ErrorKind::kObjectStoreFull : ErrorKind::kInvalid;
  error.what = "a value of " + std::to_string(bytes) + " bytes does not fit into the node's store";
  error.evidence.push_back(why.what);
  error.remedy = "drop references that are not needed, use a smaller value, or give the store more: MOBULA_STORE_BYTES";
  return error;
}

}  // namespace

Result<ObjectRef> Puts::put(Encoder&& value) {
  const std::size_t size = value.payload_bytes();
  std::vector<ObjectRef> contained = std::move(value.refs());
  Result<ObjectRef> made = [&]() -> Result<ObjectRef> {
    if (size > kInlineBytesMax) return put_payload(value);
    Engine::Lock lock(p_.engine);
    p_.metrics.puts.add();
    ObjectRef ref(p_.references.make(p_.scopes.next_put()));
    if (value.plain()) {
      base::Buffer payload;
      value.flatten(payload.extend(size));
      local(ref).settle_inline(payload.view());
    } else {
      HeapObject heap(size);
      value.flatten(heap.bytes().data());
      local(ref).settle_view(heap.view());
    }
    return ref;
  }();
  if (made && !contained.empty()) {
    Engine::Lock lock(p_.engine);
    local(*made).more().contained = std::move(contained);
    local(*made).entangle();
  }
  return made;
}

Result<ObjectRef> Puts::put_payload(const Encoder& value) {
  const std::size_t size = value.payload_bytes();
  Engine::Lock lock(p_.engine);
  p_.references.process_drops();  // Memory that has just been let go is warm still.
  auto allocation = p_.store.allocate(lock, size);
  if (!allocation) return Error{allocation.error().code, allocation.error().what};
  lock.unlock();
  value.flatten(allocation->bytes().data());
  auto object = std::make_unique<StoreObject>(p_.engine, p_.store, std::move(*allocation));
  return seal(std::move(object));
}

Result<std::unique_ptr<WritableObject>> Puts::allocate(std::size_t payload_bytes) {
  if (payload_bytes <= kInlineBytesMax) return std::unique_ptr<WritableObject>(new HeapObject(payload_bytes));
  Engine::Lock lock(p_.engine);
  p_.references.process_drops();
  auto allocation = p_.store.allocate(lock, payload_bytes);
  if (!allocation) return allocation.error();
  return std::unique_ptr<WritableObject>(new StoreObject(p_.engine, p_.store, std::move(*allocation)));
}

ObjectRef Puts::seal(std::unique_ptr<WritableObject> object) {
  Engine::Lock lock(p_.engine);
  p_.metrics.puts.add();
  ObjectRef ref(p_.references.make(p_.scopes.next_put()));
  LocalObject& made = local(ref);
  if (auto* heap = dynamic_cast<HeapObject*>(object.get())) {
    made.settle_view(heap->view());
    return ref;
  }
  auto& stored = static_cast<StoreObject&>(*object);
  const std::size_t size = stored.allocation().bytes().size();
  const auto sealed = p_.store.seal(std::move(stored.allocation()), made.id(), objstore::Copy::kPrimary);
  std::optional<View> view;
  if (sealed) view = p_.store.get(made.id());
  if (view) {
    made.settle_view(std::move(*view));
    made.in_store = true;
    p_.references.values().set_holders(made, {p_.links.self().node});
  } else {
    made.settle_error(store_error(sealed ? Error{Code::kLost, "it was sealed and is gone"} : sealed.error(), size));
  }
  lock.unlock();
  object.reset();  // Takes the lock when the seal has failed.
  return ref;
}

}  // namespace mobula::runtime
