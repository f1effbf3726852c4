#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/base/ids.h"
#include "core/worker/messages.h"
#include "core/worker/object.h"
#include "core/worker/persistence.h"
#include "core/worker/raylet_link.h"

namespace mobula::runtime {

// The actor that this worker is, once it is one.
//
// Under the engine's lock; the instance may be read by the threads that run its methods.
class HostedActor {
 public:
  explicit HostedActor(RayletLink& raylet) : raylet_(raylet) {}

  bool exists() const { return !id_.is_nil(); }
  const base::ActorId& id() const { return id_; }
  std::uint64_t incarnation() const { return incarnation_; }
  int max_concurrency() const { return max_concurrency_; }
  bool is_called_by(const CallHeader& call) const { return exists() && call.incarnation == incarnation_; }
  const std::shared_ptr<void>& instance() const { return instance_; }
  void set_instance(std::shared_ptr<void> instance, const Persistence& persistence) {
    instance_ = std::move(instance);
    persistence_ = persistence;
  }
  std::shared_ptr<void> take_instance() { return std::exchange(instance_, nullptr); }  // Its end: nothing runs it.
  const Persistence& persistence() const { return persistence_; }
  const std::string& name() const { return name_; }  // Empty: it has none.
  const std::string& class_name() const { return class_name_; }

  void become(const base::ActorId& id, const proto::CreateActor& request);
  // The constructor has ended.
  void constructed(const std::optional<ErrorInfo>& error);
  // The actor that was asked for cannot be made here.
  void refuse(const proto::CreateActor& request, const ErrorInfo& error);

 private:
  void tell(proto::ActorStarted& answer, const std::optional<ErrorInfo>& error);

  RayletLink& raylet_;
  base::ActorId id_;
  std::uint64_t incarnation_ = 0;
  int max_concurrency_ = 1;
  std::string name_;
  std::string class_name_;
  std::shared_ptr<void> instance_;
  Persistence persistence_;
};

}  // namespace mobula::runtime
