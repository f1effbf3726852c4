#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "transport/ofi/port.h"
#include "transport/ofi/wire.h"

namespace mobula::transport::ofi {

// Room for one packet, on its way out or waiting for one to come in.
struct Packet : Operation {
  std::byte* bytes = nullptr;  // kPacketBytesMax of them.
  void* descriptor = nullptr;

  // Sends: where to, and for which of our connections.
  Port::Peer* to = nullptr;
  std::uint64_t cookie = 0;
  std::uint32_t slot = 0;
};

// Packets come in slabs, registered where the provider wants that, and are kept.
class PacketPool {
 public:
  static constexpr std::size_t kPerSlab = 32;

  PacketPool(std::shared_ptr<Provider> provider, fid_ep* endpoint)
      : provider_(std::move(provider)), endpoint_(endpoint) {}
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  Packet* take(Operation::What what);  // nullptr: no memory can be registered.
  void give_back(Packet& packet) { free_.push_back(&packet); }

 private:
  struct Slab {
    std::unique_ptr<std::byte[]> memory;
    Registration registration;
    std::vector<Packet> packets;
  };
  bool grow();

  std::shared_ptr<Provider> provider_;
  fid_ep* endpoint_;
  std::vector<std::unique_ptr<Slab>> slabs_;
  std::vector<Packet*> free_;
};

}  // namespace mobula::transport::ofi
