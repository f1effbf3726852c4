#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"

namespace mobula::runtime {

// How a process of the cluster is reached, and which node it dies with.  A value; travels in hot messages and, as
// proto::Address, in the control plane.  Worth believing only because it came over an authenticated link.
struct ProcessAddress {
  base::WorkerId worker;
  base::NodeId node;
  std::uint64_t incarnation = 0;  // Of the node.
  std::int64_t pid = 0;
  std::string host_key;  // Equal where memory can be shared.
  std::string host;
  std::string shm;  // transport addresses; empty where the process lacks that transport.
  std::string sock;
  std::string ucx;
};

void encode(const ProcessAddress& address, base::Buffer& out);
// nullopt for anything malformed.
std::optional<ProcessAddress> decode_address(base::Cursor& in);

proto::Address to_proto(const ProcessAddress& address);
std::optional<ProcessAddress> from_proto(const proto::Address& address);

}  // namespace mobula::runtime
