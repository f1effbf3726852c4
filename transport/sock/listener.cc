#include <utility>

#include "transport/channel.h"
#include "transport/sock/acceptor.h"
#include "transport/sock/address.h"
#include "transport/sock/channel.h"

namespace mobula::transport {
namespace {

using sock::Acceptor;
using sock::SocketAddress;

class SocketListener final : public Listener {
 public:
  explicit SocketListener(std::unique_ptr<Acceptor> acceptor)
      : acceptor_(std::move(acceptor)), address_(acceptor_->address().to_string()) {}

  const std::string& address() const override { return address_; }
  std::uint64_t refused() const override { return acceptor_->refused(); }

 private:
  std::unique_ptr<Acceptor> acceptor_;
  std::string address_;
};

Result<std::unique_ptr<Listener>> listen(os::EventLoop& loop, const SocketAddress& where, const ChannelOptions& options,
                                         Listener::Accepted accepted) {
  const bool tcp = where.family == SocketAddress::Family::kTcp;
  const std::size_t queue_bytes_max = options.queue_bytes_max;
  Result<std::unique_ptr<Acceptor>> acceptor =
      Acceptor::listen(loop, where, {options.credentials, options.handshake_timeout},
                       [&loop, tcp, queue_bytes_max, accepted = std::move(accepted)](Acceptor::Proven&& proven) {
                         sock::AcceptedChannel made = sock::make_channel(loop, std::move(proven), tcp, queue_bytes_max);
                         accepted(std::move(made.channel), std::move(made.set));
                       });
  if (!acceptor.ok()) return acceptor.error();
  return std::unique_ptr<Listener>(std::make_unique<SocketListener>(std::move(*acceptor)));
}

}  // namespace

Result<std::unique_ptr<Listener>> listen_unix(os::EventLoop& loop, const std::string& path,
                                              const ChannelOptions& options, Listener::Accepted accepted) {
  return listen(loop, {SocketAddress::Family::kUnix, path, 0}, options, std::move(accepted));
}

Result<std::unique_ptr<Listener>> listen_tcp(os::EventLoop& loop, const std::string& host,
                                             const ChannelOptions& options, Listener::Accepted accepted) {
  return listen(loop, {SocketAddress::Family::kTcp, host, 0}, options, std::move(accepted));
}

}  // namespace mobula::transport
