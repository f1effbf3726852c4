#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "bench/peers/peer.grpc.pb.h"

namespace mobula::bench {

// A server in a process of its own, and a stub to call it.
class GrpcServer {
 public:
  // "unix-abstract:name" or "127.0.0.1:0".  Before this process uses gRPC: it forks.
  explicit GrpcServer(const std::string& address);
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  std::unique_ptr<peer::Peer::Stub> connect() const;

 private:
  pid_t child_ = 0;
  std::string address_;
};

}  // namespace mobula::bench
