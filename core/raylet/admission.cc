#include "core/raylet/admission.h"

#include <utility>

namespace mobula::raylet {
namespace {

constexpr auto kSilenceMax = std::chrono::seconds(10);

}  // namespace

base::Result<std::string> Admission::listen_unix(const std::string& path) {
  auto listener = transport::listen_unix(loop_, path, channel_,
                                         [this](auto channel, auto set) { arrived(std::move(channel), set); });
  if (!listener) return listener.error();
  listeners_.push_back(std::move(*listener));
  return listeners_.back()->address();
}

base::Result<std::string> Admission::listen_tcp(const std::string& interface) {
  auto listener = transport::listen_tcp(loop_, interface, channel_,
                                        [this](auto channel, auto set) { arrived(std::move(channel), set); });
  if (!listener) return listener.error();
  listeners_.push_back(std::move(*listener));
  return listeners_.back()->address();
}

std::uint64_t Admission::refused() const {
  std::uint64_t count = 0;
  for (const auto& listener : listeners_) count += listener->refused();
  return count;
}

std::unique_ptr<rpc::Rpc> Admission::take(std::uint64_t number) {
  auto found = waiting_.extract(number);
  if (found.empty()) return nullptr;
  loop_.cancel(found.mapped().timer);
  return std::move(found.mapped().rpc);
}

void Admission::arrived(std::unique_ptr<transport::Channel> channel,
                        const std::function<void(transport::Channel::Callbacks)>& set) {
  const std::uint64_t number = next_++;
  auto rpc = rpc::Rpc::accept(loop_, std::move(channel), set,
                              {.ready = nullptr, .closed = [this, number](const base::Error&) { take(number); }});
  rpc->on<proto::Register>(proto::REGISTER, [this, number](proto::Register&& message, rpc::Responder responder) {
    if (auto taken = take(number)) ports_.process(std::move(taken), std::move(message), std::move(responder));
  });
  rpc->on<proto::PeerHello>(proto::PEER_HELLO, [this, number](proto::PeerHello&& message, rpc::Responder responder) {
    if (auto taken = take(number)) ports_.peer(std::move(taken), std::move(message), responder);
  });
  rpc->serve_others([](proto::MessageType, rpc::Message&&, rpc::Responder responder) {
    responder.fail({base::Code::kDenied, "register first"});
  });
  Waiting& waiting = waiting_[number];
  waiting.rpc = std::move(rpc);
  waiting.timer = loop_.after(kSilenceMax, [this, number] { take(number); });
}

}  // namespace mobula::raylet
