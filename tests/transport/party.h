#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/os/session.h"
#include "tests/transport/backend.h"
#include "transport/transport.h"

namespace mobula::test {

using base::Bytes;
using base::ConstBytes;
using transport::Endpoint;

// Records how an operation ended; checks that it is told once, and from inside progress().
class Done final : public transport::Completion {
 public:
  void done(base::Result<std::size_t> bytes) override;
  bool ended() const { return result_.has_value(); }
  bool ok() const { return result_ && result_->ok(); }
  std::size_t bytes() const { return **result_; }                // REQUIRES: ok()
  const base::Error& error() const { return result_->error(); }  // REQUIRES: ended() && !ok()

 private:
  std::optional<base::Result<std::size_t>> result_;
};

// A worker and everything it was told.
class Party final : public transport::Inbox {
 public:
  struct Message {
    Endpoint* from;
    std::uint16_t type;
    std::string header;
    std::string payload;
  };

  static std::unique_ptr<Party> make(Fabric& fabric, const transport::WorkerOptions& options);

  transport::Worker& worker() { return *worker_; }
  std::size_t progress();
  Endpoint& connect(Party& to) { return connect(to.worker().address()); }
  Endpoint& connect(const transport::Address& address);
  void destroy_worker() { worker_.reset(); }
  bool worker_exists() const { return worker_ != nullptr; }

  std::vector<Endpoint*> peers;  // Accepted.
  std::deque<Message> messages;
  std::map<Endpoint*, base::Error> lost_peers;
  std::map<Endpoint*, int> writables;
  // Instead of `messages`.
  std::function<void(Endpoint&, std::uint16_t, ConstBytes header, ConstBytes payload)> on_message;

 private:
  Party() = default;
  void accepted(Endpoint& endpoint) override;
  void message(Endpoint& from, std::uint16_t type, ConstBytes header, ConstBytes payload) override;
  void writable(Endpoint& endpoint) override;
  void lost(Endpoint& endpoint, const base::Error& why) override;

  std::unique_ptr<transport::Worker> worker_;
};

// The parties of one test, a directory for their sockets, and the fabric between them.
class World {
 public:
  explicit World(const Backend& backend);
  ~World();

  transport::WorkerOptions options(const std::string& name) const;
  Party& add(const std::string& name) { return add(options(name)); }
  Party& add(const transport::WorkerOptions& options);
  Fabric& fabric() { return *fabric_; }
  std::string directory() const { return directory_.path(); }

  // Drives the parties until `happened`; false after `limit` of real time.
  bool until(const std::function<bool()>& happened, std::chrono::milliseconds limit = std::chrono::seconds(20));
  // The same, with only these driven: the others do not call progress().
  bool until_by(std::vector<Party*> driven, const std::function<bool()>& happened,
                std::chrono::milliseconds limit = std::chrono::seconds(20));
  // Connects and waits for both ends; {from's, to's}.
  std::pair<Endpoint*, Endpoint*> join(Party& from, Party& to);

 private:
  os::SessionDirectory directory_;
  std::unique_ptr<Fabric> fabric_;
  std::vector<std::unique_ptr<Party>> parties_;
};

// Bytes that depend on `seed` and their position, so that a byte out of place is seen.
std::string pattern(std::uint64_t seed, std::size_t size);
inline ConstBytes view(const std::string& s) { return base::as_bytes(s); }
inline Bytes bytes(std::string& s) { return {reinterpret_cast<std::byte*>(s.data()), s.size()}; }

}  // namespace mobula::test
