// What tools ask of one node, wherever in the cluster they are connected.
#include <utility>

#include "core/raylet/node.h"

namespace mobula::raylet {
namespace {

using base::Code;
using base::NodeId;

constexpr auto kPatience = std::chrono::seconds(4);  // Below that of the tool.

}  // namespace

template <class Query>
void Node::serve_question(rpc::Rpc& rpc, proto::MessageType type,
                          std::function<void(const Query&, const rpc::Responder&)> answer) {
  rpc.on<Query>(type, [this, type, answer](Query&& query, rpc::Responder responder) {
    const auto node = NodeId::from_string(query.node_id());
    if (query.node_id().empty() || (node && *node == id_)) return answer(query, responder);
    rpc::Rpc* channel = node ? peers_->channel(*node) : nullptr;
    if (channel == nullptr) return responder.fail({Code::kUnavailable, "the node cannot be reached from here"});
    query.clear_node_id();  // It is passed on once.
    channel->call(type, query, kPatience, [responder](base::Result<rpc::Message> reply) {
      if (!reply) return responder.fail(reply.error());
      responder.reply(reply->payload);
    });
  });
}

void Node::serve_questions(rpc::Rpc& rpc) {
  serve_question<proto::NodeQuery>(rpc, proto::NODE_STATUS,
                                   [this](const proto::NodeQuery&, const rpc::Responder& responder) {
                                     proto::Json json;
                                     json.set_text(status_json());
                                     responder.reply(json);
                                   });
  serve_question<proto::LogQuery>(rpc, proto::LOGS,
                                  [this](const proto::LogQuery& query, const rpc::Responder& responder) {
                                    auto piece = log_files_->answer(query);
                                    if (!piece) return responder.fail(piece.error());
                                    piece->set_host_key(host_key_);
                                    responder.reply(*piece);
                                  });
}

}  // namespace mobula::raylet
