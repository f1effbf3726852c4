#include "core/worker/actor_saves.h"

#include <utility>

#include "core/os/log.h"

namespace mobula::runtime {

void ActorSaves::ask(const proto::SaveState& request, const rpc::Responder& responder) {
  proto::StateSaved nothing;
  if (!actor_.exists() || actor_.persistence().save == nullptr || actor_.instance() == nullptr)
    return responder.reply(nothing);
  nothing.set_actors(1);
  if (request.only_count()) return responder.reply(nothing);
  if (saved_) return responder.reply(*saved_);
  askers_.push_back(responder);
  asked_ = true;
  engine_.notify();
}

// Unnamed actors are saved under an id that no later run has: for whoever looks, not for restore().
std::string ActorSaves::key() const {
  return "actor-" + (actor_.name().empty() ? actor_.class_name() + "-" + actor_.id().short_hex() : actor_.name());
}

void ActorSaves::run(Engine::Lock& lock) {
  proto::StateSaved result;
  result.set_actors(1);
  const std::shared_ptr<void> instance = actor_.instance();
  const auto save = actor_.persistence().save;
  const std::string name = key();
  lock.unlock();
  engine_.user_code_began();
  base::Buffer bytes;
  const auto failed = save(instance.get(), bytes);
  engine_.user_code_ended();
  base::Result<void> written;
  if (!failed) written = place_.write(name, bytes.view());
  lock.lock();
  if (failed || !written) {
    result.add_errors(name + ": " + (failed ? failed->what : written.error().what));
  } else {
    result.set_saved(1);
  }
  saved_ = result;
  for (const auto& asker : std::exchange(askers_, {})) asker.reply(result);
}

std::optional<ErrorInfo> ActorSaves::restore() const {
  const auto load = actor_.persistence().load;
  if (load == nullptr || actor_.name().empty() || actor_.instance() == nullptr) return std::nullopt;
  const auto state = place_.read(key());
  if (state) return load(actor_.instance().get(), *state);
  if (state.error().code == base::Code::kNotFound) return std::nullopt;
  ErrorInfo error;
  error.kind = base::ErrorKind::kInvalid;
  error.what = "the actor's saved state cannot be read: " + state.error().what;
  error.remedy = "remove the damaged file to start this actor from nothing";
  return error;
}

}  // namespace mobula::runtime
