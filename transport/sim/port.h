#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>

#include "transport/sim/connection.h"
#include "transport/sim/network.h"
#include "transport/stream/byte_stream.h"

namespace mobula::transport::sim {

// The connections of one node: what the kernel is to sockets.  They go on by themselves as the network's clock
// moves; the worker looks at what has changed.
class Port {
 public:
  class Stream;
  struct Hooks {
    std::function<void(std::unique_ptr<Stream>)> accepted;
    std::function<void()> changed;  // changed_streams() has one more.
  };

  Port(SimNetwork& network, Hooks hooks, const ConnectionTimes& times);
  ~Port();  // Tells its peers, unless the node was removed before.
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  NodeIndex node() const { return node_; }
  std::unique_ptr<Stream> connect(NodeIndex to);

  std::size_t changes() const { return changed_.size(); }
  Stream* next_changed();  // Takes it off the list; null when there is none.
  void crash();            // The node is gone without a word.

  // A connection as a session sees it.  What was written leaves even when the stream is destroyed.
  class Stream final : public stream::ByteStream {
   public:
    Stream(Port& port, Connection::Id id) : port_(port), id_(id) {}
    ~Stream() override;
    std::ptrdiff_t read(std::span<const iovec> parts) override;
    std::ptrdiff_t write(std::span<const iovec> parts) override;
    base::Error why() const override { return port_.get(id_).why(); }
    void want_writable(bool wanted) override { writable_wanted_ = wanted; }
    bool writable_wanted() const { return writable_wanted_; }
    void set_deadline(Time when, std::function<void()> late);  // Nothing comes after destruction.

    void* user = nullptr;

   private:
    Port& port_;
    const Connection::Id id_;
    bool writable_wanted_ = false;
    SimNetwork::Timer deadline_ = 0;
  };

 private:
  struct Entry {
    std::unique_ptr<Connection> connection;
    Stream* stream = nullptr;  // Null: only what was written still has to leave.
  };

  void receive(NodeIndex from, ConstBytes bytes);
  std::unique_ptr<Stream> add(Connection::Id id);
  Connection& get(const Connection::Id& id) const { return *entries_.at(id).connection; }
  void on_change(const Connection::Id& id);
  void detach(const Connection::Id& id);
  void bury(const Connection::Id& id);

  SimNetwork& network_;
  const Hooks hooks_;
  const ConnectionTimes times_;
  NodeIndex node_{};
  bool crashed_ = false;
  std::uint64_t next_number_ = 1;
  std::map<Connection::Id, Entry> entries_;
  std::set<Connection::Id> over_;  // A late datagram does not open them again.
  std::vector<Stream*> changed_;
};

}  // namespace mobula::transport::sim
