#pragma once

#include <algorithm>
#include <cstddef>
#include <unordered_map>

#include "core/base/ids.h"
#include "core/worker/local_object.h"

namespace mobula::runtime {

// The objects that another process may name to us, or that we borrow, by id.  Holds none of them: whoever drops the
// last reference takes it out.
//
// Under the engine's lock.
class ObjectTable {
 public:
  // Other processes may name it to us from now on.  REQUIRES: the caller holds a reference.
  void list(LocalObject& object) {
    object.entangle();
    if (object.listed) return;
    object.listed = true;
    objects_.emplace(object.id(), &object);
  }
  void remove(const LocalObject& object) {
    if (object.listed) objects_.erase(object.id());
  }
  ObjectRef find(const ObjectId& id) const {
    const auto it = objects_.find(id);
    return it == objects_.end() ? ObjectRef() : ObjectRef(it->second);
  }
  bool contains(const ObjectId& id) const { return objects_.contains(id); }
  std::size_t size() const { return objects_.size(); }
  // Whether any of them is this process's own.
  bool has_own() const {
    return std::any_of(objects_.begin(), objects_.end(), [](const auto& entry) { return !entry.second->borrowed(); });
  }
  // `f` may neither list nor remove.
  template <class F>
  void each(F&& f) const {
    for (const auto& [id, object] : objects_) f(*object);
  }

 private:
  std::unordered_map<ObjectId, LocalObject*> objects_;
};

}  // namespace mobula::runtime
