#pragma once

#include <string>
#include <vector>

namespace mobula::os {

// Numeric addresses of a host's name, IPv4 first; empty when nobody knows it.  May ask a name server, and block.
std::vector<std::string> resolve_host(const std::string& name);

// Our address on the way to a numeric one; empty when there is no way.  Sends nothing.
std::string address_towards(const std::string& address);

bool is_loopback(const std::string& address);  // Of a numeric one.

struct InterfaceAddress {
  std::string interface;
  std::string address;
};
std::vector<InterfaceAddress> interface_addresses();  // Of interfaces that are up; link-local ones excepted.

// Whether a numeric address lies in "10.1.0.0/16" or "fd00::/8"; false when the text is no such thing.
bool is_in_subnet(const std::string& address, const std::string& subnet);

}  // namespace mobula::os
