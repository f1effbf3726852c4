#include "core/worker/hosted_actor.h"

#include <algorithm>
#include <string>

namespace mobula::runtime {

void HostedActor::become(const base::ActorId& id, std::uint64_t incarnation, int max_concurrency) {
  id_ = id;
  incarnation_ = incarnation;
  max_concurrency_ = std::max(max_concurrency, 1);
}

void HostedActor::constructed(const std::optional<ErrorInfo>& error) {
  proto::ActorStarted answer;
  answer.set_actor_id(id_.bytes());
  answer.set_incarnation(incarnation_);
  tell(answer, error);
}

void HostedActor::refuse(const proto::CreateActor& request, const ErrorInfo& error) {
  proto::ActorStarted answer;
  answer.set_actor_id(request.spec().actor_id());
  answer.set_incarnation(request.incarnation());
  tell(answer, error);
}

void HostedActor::tell(proto::ActorStarted& answer, const std::optional<ErrorInfo>& error) {
  answer.set_ok(!error.has_value());
  if (error) {
    base::Buffer encoded;
    encode(*error, encoded);
    answer.set_error(std::string(base::as_string_view(encoded.view())));
  }
  (void)raylet_.rpc().notify(proto::ACTOR_STARTED, answer);
}

}  // namespace mobula::runtime
