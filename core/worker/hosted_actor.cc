#include "core/worker/hosted_actor.h"

#include <algorithm>
#include <string>

namespace mobula::runtime {

void HostedActor::become(const base::ActorId& id, const proto::CreateActor& request) {
  id_ = id;
  incarnation_ = request.incarnation();
  max_concurrency_ = std::max(request.spec().max_concurrency(), 1);
  name_ = request.spec().name();
  class_name_ = request.spec().class_name();
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
