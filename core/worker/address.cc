#include "core/worker/address.h"

#include "transport/transport.h"

namespace mobula::runtime {
namespace {

bool short_enough(const ProcessAddress& a) {
  return a.host_key.size() <= 512 && a.host.size() <= 256 && a.shm.size() <= transport::kAddressBytesMax &&
         a.sock.size() <= transport::kAddressBytesMax && a.ucx.size() <= transport::kAddressBytesMax;
}

}  // namespace

void encode(const ProcessAddress& address, base::Buffer& out) {
  out.put(address.worker);
  out.put(address.node);
  out.put(address.incarnation);
  out.put(address.pid);
  out.put_string(address.host_key);
  out.put_string(address.host);
  out.put_string(address.shm);
  out.put_string(address.sock);
  out.put_string(address.ucx);
}

std::optional<ProcessAddress> decode_address(base::Cursor& in) {
  ProcessAddress a;
  a.worker = in.get<base::WorkerId>();
  a.node = in.get<base::NodeId>();
  a.incarnation = in.get<std::uint64_t>();
  a.pid = in.get<std::int64_t>();
  a.host_key = in.get_string();
  a.host = in.get_string();
  a.shm = in.get_string();
  a.sock = in.get_string();
  a.ucx = in.get_string();
  if (!in.ok() || !short_enough(a)) return std::nullopt;
  return a;
}

proto::Address to_proto(const ProcessAddress& address) {
  proto::Address p;
  p.set_worker_id(address.worker.bytes());
  p.set_node_id(address.node.bytes());
  p.set_incarnation(address.incarnation);
  p.set_pid(address.pid);
  p.set_host_key(address.host_key);
  p.set_host(address.host);
  p.set_shm(address.shm);
  p.set_sock(address.sock);
  p.set_ucx(address.ucx);
  return p;
}

std::optional<ProcessAddress> from_proto(const proto::Address& p) {
  const auto worker = base::WorkerId::from_string(p.worker_id());
  const auto node = base::NodeId::from_string(p.node_id());
  if (!worker || !node) return std::nullopt;
  ProcessAddress a{*worker, *node, p.incarnation(), p.pid(), p.host_key(), p.host(), p.shm(), p.sock(), p.ucx()};
  if (!short_enough(a)) return std::nullopt;
  return a;
}

}  // namespace mobula::runtime
