#include "transport/stream/session_set.h"

#include <utility>

namespace mobula::transport::stream {

SessionSet::SessionSet(const WorkerOptions& options, Inbox& inbox)
    : options_(options),
      regions_([this](std::uint64_t region) {
        for (auto& [key, session] : sessions_) session->forget_region(region);
      }),
      shared_(inbox, options_, regions_) {}

Session& SessionSet::add(std::unique_ptr<Session> session) {
  Session& out = *session;
  sessions_.emplace(&out, std::move(session));
  return out;
}

std::size_t SessionSet::finish_round() {
  flush_dirty();
  std::size_t ran = shared_.completions.run();
  ran += tell_writable();
  ran += bury();
  flush_dirty();
  ++shared_.round;
  return ran;
}

bool SessionSet::flush() {
  flush_dirty();
  return !shared_.completions.empty() || !shared_.writable.empty() || !shared_.failed.empty() ||
         !shared_.closed.empty();
}

void SessionSet::flush_dirty() {
  std::vector<Session*> dirty;
  dirty.swap(shared_.dirty);
  for (Session* session : dirty) session->flush();
  if (shared_.dirty.empty()) {  // Keeps the memory.
    dirty.clear();
    shared_.dirty.swap(dirty);
  }
}

// One at a time: the owner may close any of them.
std::size_t SessionSet::tell_writable() {
  std::size_t ran = 0;
  for (std::size_t n = shared_.writable.size(); n != 0 && !shared_.writable.empty(); --n, ++ran) {
    Session* const session = shared_.writable.front();
    shared_.writable.erase(shared_.writable.begin());
    session->tell_writable();
  }
  return ran;
}

std::size_t SessionSet::bury() {
  std::size_t ran = 0;
  while (!shared_.failed.empty()) {
    Session* const session = shared_.failed.front();
    if (session->announced()) {
      ran += shared_.completions.run();  // Those of this session are among them.
      if (shared_.failed.empty() || shared_.failed.front() != session) continue;  // Closed by a completion.
      shared_.failed.erase(shared_.failed.begin());
      const base::Error why = session->take_why();
      shared_.inbox.lost(*session, why);
      ++ran;
    } else {
      shared_.failed.erase(shared_.failed.begin());
    }
    sessions_.erase(session);
  }
  std::vector<Session*> closed;
  closed.swap(shared_.closed);
  for (const Session* session : closed) sessions_.erase(session);
  return ran;
}

}  // namespace mobula::transport::stream
