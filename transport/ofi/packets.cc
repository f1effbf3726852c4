#include "transport/ofi/packets.h"

#include "core/os/log.h"

namespace mobula::transport::ofi {

Packet* PacketPool::take(Operation::What what) {
  if (free_.empty() && !grow()) return nullptr;
  Packet* packet = free_.back();
  free_.pop_back();
  packet->what = what;
  packet->to = nullptr;
  return packet;
}

bool PacketPool::grow() {
  auto slab = std::make_unique<Slab>();
  slab->memory.reset(new std::byte[kPerSlab * kPacketBytesMax]);
  if (provider_->asks(FI_MR_LOCAL)) {
    auto made =
        Registration::make(provider_, {{slab->memory.get(), kPerSlab * kPacketBytesMax}, FI_SEND | FI_RECV, endpoint_});
    if (!made) {
      os::log(os::LogLevel::kError, "no memory for packets: {}", made.error().what);
      return false;
    }
    slab->registration = *std::move(made);
  }
  slab->packets.resize(kPerSlab);
  for (std::size_t i = 0; i < kPerSlab; ++i) {
    Packet& packet = slab->packets[i];
    packet.bytes = slab->memory.get() + i * kPacketBytesMax;
    packet.descriptor = slab->registration.descriptor();
    free_.push_back(&packet);
  }
  slabs_.push_back(std::move(slab));
  return true;
}

}  // namespace mobula::transport::ofi
