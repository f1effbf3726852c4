#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/ids.h"
#include "core/worker/messages.h"
#include "core/worker/object.h"
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
  int max_concurrency() const { return max_concurrency_; }
  bool is_called_by(const CallHeader& call) const { return exists() && call.incarnation == incarnation_; }
  const std::shared_ptr<void>& instance() const { return instance_; }
  void set_instance(std::shared_ptr<void> instance) { instance_ = std::move(instance); }

  void become(const base::ActorId& id, std::uint64_t incarnation, int max_concurrency);
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
  std::shared_ptr<void> instance_;
};

}  // namespace mobula::runtime
