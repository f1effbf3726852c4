#include "bench/peers/grpc_service.h"

#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>

#include "bench/sides/serve.h"

namespace mobula::bench {
namespace {

constexpr std::uint64_t kChunkBytes = 256 << 10;

class Service final : public peer::Peer::Service {
 public:
  grpc::Status Echo(grpc::ServerContext*, const peer::Bytes* in, peer::Bytes* out) override {
    out->set_data(in->data());
    return grpc::Status::OK;
  }
  grpc::Status Pull(grpc::ServerContext*, const peer::Amount* amount, grpc::ServerWriter<peer::Bytes>* out) override {
    peer::Bytes chunk;
    chunk.set_data(std::string(kChunkBytes, 'x'));
    for (std::uint64_t left = amount->bytes(); left > 0; left -= chunk.data().size()) {
      if (left < kChunkBytes) chunk.mutable_data()->resize(left);
      if (!out->Write(chunk)) break;
    }
    return grpc::Status::OK;
  }
};

[[noreturn]] void run_server(const std::string& address, int told) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Service service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) port = -1;
  if (::write(told, &port, sizeof port) != sizeof port || port < 0) ::_exit(1);
  server->Wait();
  ::_exit(0);
}

}  // namespace

GrpcServer::GrpcServer(const std::string& address) : address_(address) {
  int ends[2];
  if (::pipe(ends) != 0) throw CannotMeasure("no pipe");
  child_ = ::fork();
  if (child_ == 0) run_server(address, ends[1]);
  ::close(ends[1]);
  int port = -1;
  const bool told = child_ > 0 && ::read(ends[0], &port, sizeof port) == sizeof port && port >= 0;
  ::close(ends[0]);
  if (!told) throw CannotMeasure("the gRPC server at " + address + " did not start");
  if (address.ends_with(":0")) address_ = address.substr(0, address.size() - 1) + std::to_string(port);
}

GrpcServer::~GrpcServer() {
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
}

std::unique_ptr<peer::Peer::Stub> GrpcServer::connect() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt("grpc.use_local_subchannel_pool", 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return peer::Peer::NewStub(grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments));
}

}  // namespace mobula::bench
