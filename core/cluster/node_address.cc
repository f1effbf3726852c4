#include "core/cluster/node_address.h"

#include <algorithm>
#include <cstdlib>

#include "core/os/host.h"
#include "core/os/route.h"
#include "slurm/host_list.h"

namespace mobula::cluster {
namespace {

using base::Code;
using base::Error;
using base::Result;

// "tcp:10.1.2.3:4711" becomes "10.1.2.3".
std::string host_of(const std::string& address) {
  const std::size_t end = address.rfind(':');
  constexpr std::size_t kScheme = 4;
  return address.rfind("tcp:", 0) != 0 || end <= kScheme ? "" : address.substr(kScheme, end - kScheme);
}

std::vector<std::string> names_of(const slurm::Identity& self) {
  auto names = slurm::parse_host_list(self.hosts);
  return names ? std::move(*names) : std::vector<std::string>();
}

void add(std::vector<std::string>& to, const std::vector<std::string>& addresses) {
  for (const auto& address : addresses) {
    if (!address.empty() && std::find(to.begin(), to.end(), address) == to.end()) to.push_back(address);
  }
}

}  // namespace

Result<std::string> interface_address(const std::string& setting) {
  std::string known;
  for (const auto& [interface, address] : os::interface_addresses()) {
    if (address == setting || interface == setting || os::is_in_subnet(address, setting)) return address;
    known += (known.empty() ? "" : ", ") + interface + " " + address;
  }
  if (setting.empty()) return std::string();
  return Error{Code::kNotFound, "interface = " + setting +
                                    ": this host has neither such an address, nor an interface "
                                    "of that name, nor an address in that subnet; there are: " +
                                    known};
}

std::string address_for_others(const slurm::Identity& self, const std::string& towards) {
  const auto ours = os::ip_addresses();  // Loopback last.
  if (!self.node_name.empty()) {
    for (const auto& address : os::resolve_host(self.node_name)) {
      const bool is_ours = std::find(ours.begin(), ours.end(), address) != ours.end();
      if (is_ours && !os::is_loopback(address)) return address;
    }
  }
  if (const auto ours_there = os::address_towards(host_of(towards)); !ours_there.empty()) return ours_there;
  for (const auto& name : names_of(self)) {
    if (name == self.node_name) continue;
    for (const auto& address : os::resolve_host(name)) {
      const auto ours_there = os::address_towards(address);
      if (!ours_there.empty() && !os::is_loopback(ours_there)) return ours_there;
    }
    break;  // One that has no address is enough to know that names are of no use here.
  }
  return ours.empty() ? "127.0.0.1" : ours.front();
}

std::vector<std::string> addresses_of_rank_zero(const slurm::Identity& self) {
  std::vector<std::string> out;
  const auto names = names_of(self);
  if (!names.empty()) add(out, os::resolve_host(names.front()));
  if (const char* launched_from = std::getenv("SLURM_LAUNCH_NODE_IPADDR")) add(out, os::resolve_host(launched_from));
  add(out, os::ip_addresses());
  return out;
}

}  // namespace mobula::cluster
