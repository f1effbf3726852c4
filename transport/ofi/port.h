#pragma once

#include <rdma/fi_endpoint.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "transport/ofi/provider.h"

namespace mobula::transport::ofi {

// Something that libfabric does for us; it writes into the first bytes until that has ended.
struct Operation {
  enum class What : std::uint8_t { kReceive, kSend, kAccess };
  fi_context2 for_libfabric{};
  What what = What::kReceive;
};

// One endpoint of libfabric, connectionless, with its queue of completions and its table of addresses.
class Port {
 public:
  // Told from poll().
  class Owner {
   public:
    virtual void completed(Operation& operation, std::size_t received_bytes) = 0;
    virtual void failed(Operation& operation, const base::Error& why) = 0;

   protected:
    ~Owner() = default;
  };

  // Another worker's port.  Forgotten when nobody uses it and nothing is on its way to it.
  struct Peer {
    std::string address;
    fi_addr_t handle = FI_ADDR_UNSPEC;
    std::size_t users = 0;
    std::size_t in_flight = 0;
  };

  static Result<std::unique_ptr<Port>> open(std::shared_ptr<Provider> provider, Owner& owner);
  // Ends by force whatever is under way: no memory is touched from then on, and nobody is told.
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  fid_ep* ep() const { return ep_; }
  const std::string& address() const { return address_; }

  Result<Peer*> reach(const std::string& address);  // One user more.
  void leave(Peer& peer);                           // One less.
  void landed(Peer& peer);                          // One operation less.

  std::size_t poll();  // Returns how many operations have ended.

  int wait_fd() const { return wait_fd_; }  // -1: the provider wakes nobody.
  // Nothing has ended, and wait_fd() will be readable when something has.
  bool arm();

 private:
  Port(std::shared_ptr<Provider> provider, Owner& owner) : provider_(std::move(provider)), owner_(owner) {}
  Result<void> open_queue();
  Result<void> open_endpoint();
  void drop_if_idle(Peer& peer);
  bool take_failure();

  std::shared_ptr<Provider> provider_;
  Owner& owner_;
  fid_cq* queue_ = nullptr;
  fid_av* addresses_ = nullptr;
  fid_ep* ep_ = nullptr;
  std::string address_;
  int wait_fd_ = -1;
  std::unordered_map<std::string, std::unique_ptr<Peer>> peers_;
};

}  // namespace mobula::transport::ofi
