#pragma once

#include <list>
#include <memory>
#include <string>
#include <thread>

#include "core/base/machine.h"
#include "core/os/fd.h"
#include "slurm/munge.h"

namespace mobula::slurm {

// Rank 0's end of munge_rendezvous.h: answers on a thread of its own until destroyed.  Whoever does not ask properly
// within two seconds is dropped, so that nobody keeps the others waiting.
class MungeServer {
 public:
  // `invitation` as encode() gives it; wiped at the end.
  MungeServer(const Munge& munge, os::Fd listener, std::string start, std::string invitation);
  ~MungeServer();
  MungeServer(const MungeServer&) = delete;
  MungeServer& operator=(const MungeServer&) = delete;

 private:
  struct Connection {
    os::Fd socket;
    std::string received;
    base::Time until;
  };
  void run();
  void accept_all();
  bool serve(Connection& connection);  // False when it is over with it.
  void answer(const Connection& connection, std::string_view credential) const;

  const Munge& munge_;
  const os::Fd listener_;
  const std::string start_;
  std::string invitation_;
  std::list<Connection> connections_;
  os::Fd stop_read_, stop_write_;
  std::thread thread_;
};

}  // namespace mobula::slurm
