#pragma once

#include <memory>
#include <string>

#include "core/base/proto/control.pb.h"
#include "core/base/result.h"
#include "core/cli/session_file.h"
#include "core/os/event_loop.h"
#include "core/os/secret.h"
#include "core/rpc/rpc.h"

namespace mobula::cli {

base::NodeId node_of_hex(const std::string& hex);  // As lists print them; nil for what is none.

// The CLI as a client of a running cluster: one question after the other, each waited for.
class ToolLink {
 public:
  static base::Result<std::unique_ptr<ToolLink>> open(const SessionFile& session);

  base::Result<std::string> list(const std::string& what);  // The GCS's JSON: nodes, actors, jobs, status.
  // JSON of a node; nil: the one that we are connected to.
  base::Result<std::string> node_status(const base::NodeId& node = {});
  base::Result<proto::LogPiece> logs(const proto::LogQuery& query);
  base::Result<void> stop_cluster();

  bool is_open() const { return rpc_ != nullptr && rpc_->is_open(); }
  void pause(base::Duration time);  // Lets time pass; less when the connection ends.

 private:
  template <class Reply>
  base::Result<Reply> ask(proto::MessageType type, const google::protobuf::MessageLite& request);

  os::EventLoop loop_;
  std::unique_ptr<rpc::Rpc> rpc_;
};

}  // namespace mobula::cli
