// Addresses and keys of memory that another process has told: over control messages, not over the link itself.

#include "tests/fuzz/input.h"
#include "transport/shm/region_table.h"
#include "transport/sock/address.h"
#include "transport/stream/region_table.h"
#include "transport/stream/wire.h"

using namespace mobula;
using transport::sock::SocketAddress;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const base::ConstBytes bytes = input.rest();
  const std::string text(base::as_string_view(bytes));
  if (const auto address = SocketAddress::parse(text)) {
    const auto again = SocketAddress::parse(address->to_string());
    fuzz::require(again && again->family == address->family && again->where == address->where &&
                  again->port == address->port);
    fuzz::require(!address->where.empty());
    if (address->family == SocketAddress::Family::kTcp) fuzz::require(address->port != 0);
  }
  if (const auto key = transport::stream::decode_region_key(bytes)) {
    transport::stream::RegionTable none(nullptr);
    fuzz::require(!none.find({key->region, key->cookie, 0, 0}));
  }
  if (const auto key = transport::shm::decode_region_key(bytes)) {
    fuzz::require(base::as_string_view(base::object_bytes(*key)) == text);
  }
  if (size >= sizeof(transport::stream::FrameHeader)) {
    if (const auto head = transport::stream::decode_frame_header(bytes)) {
      fuzz::require(head->header_bytes <= transport::kHeaderBytesMax);
      fuzz::require(head->payload_bytes <= transport::kMessageBytesMax);
    }
  }
  return 0;
}
