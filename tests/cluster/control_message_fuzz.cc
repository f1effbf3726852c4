// What crosses the control plane, as far as values are made of it: the first byte says which message it is.  What is
// taken has limits, and is written so that it reads the same.

#include <google/protobuf/stubs/logging.h>

#include "core/base/error_info.h"
#include "core/base/limits.h"
#include "core/cluster/convert.h"
#include "tests/fuzz/input.h"

using namespace mobula;

namespace {

void read_resources(const proto::ResourceSet& set) {
  const auto resources = cluster::to_resources(set);
  if (!resources) return;
  fuzz::require(resources->all().size() <= base::kResourcesPerNodeMax && !resources->any_negative());
  base::Resources twice = *resources;
  twice.add(*resources);  // Amounts that were taken can be added up.
  fuzz::require(twice.covers(*resources) && !twice.any_negative());
  const auto again = cluster::to_resources(cluster::to_proto(*resources));
  fuzz::require(again && *again == *resources);
  static_cast<void>(resources->to_string());
}

void read_strategy(const proto::Strategy& strategy) {
  const auto taken = cluster::to_strategy(strategy, [](const std::string& node) {
    return node.empty() ? std::optional<base::NodeId>() : base::NodeId::from_words(1, 2, 3, 4);
  });
  if (!taken) return;
  fuzz::require(taken->labels.size() == static_cast<std::size_t>(strategy.labels_size()));
  for (const auto& rule : taken->labels) fuzz::require(strategy.labels().count(rule.key) == 1);
}

void read_node(const proto::NodeInfo& info) {
  read_resources(info.total());
  const auto view = cluster::to_node_view(info);
  if (!view) return;
  fuzz::require(view->node.bytes() == info.node_id());
  const auto again = cluster::to_node_view(cluster::to_node_info(*view, info.incarnation(), ""));
  fuzz::require(again && again->node == view->node && again->state == view->state && again->total == view->total &&
                again->available == view->available && again->labels == view->labels);
}

void read_error(const std::string& bytes) {
  if (const auto error = base::decode_error_info(base::as_bytes(bytes))) {
    base::Buffer again;
    encode(*error, again);
    fuzz::require(base::as_string_view(again.view()) == bytes);
  }
}

template <class Message>
bool parse(fuzz::Input& input, Message& message) {
  const base::ConstBytes bytes = input.rest();
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

template <class Message, class Read>
void with(fuzz::Input& input, Read read) {
  Message message;
  if (parse(input, message)) read(message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const google::protobuf::LogSilencer quiet;  // It writes a line for each string that is not UTF-8.
  fuzz::Input input(data, size);
  const std::uint8_t kind = input.byte();
  switch (kind % 8) {
    case 0:
      with<proto::Demand>(input, [](const auto& m) {
        read_resources(m.shape());
        read_strategy(m.strategy());
      });
      break;
    case 1: with<proto::NodeInfo>(input, [](const auto& m) { read_node(m); }); break;
    case 2:
      with<proto::ActorLease>(input, [](const auto& m) {
        read_resources(m.shape());
        read_resources(m.available());
        read_resources(m.spec().resources());
        read_strategy(m.spec().strategy());
        read_error(m.cause());
      });
      break;
    case 3:
      with<proto::PeerLease>(input, [](const auto& m) {
        read_resources(m.shape());
        read_resources(m.available());
      });
      break;
    case 4:
      with<proto::ClusterView>(input, [](const auto& m) {
        for (const auto& node : m.nodes()) read_node(node);
      });
      break;
    case 5:
      with<proto::RegisterActor>(input, [](const auto& m) {
        read_resources(m.spec().resources());
        read_strategy(m.spec().strategy());
      });
      break;
    case 6: with<proto::ActorInfo>(input, [](const auto& m) { read_error(m.error()); }); break;
    case 7: {
      const std::string key(input.until('='));
      const auto rule = scheduler::parse_label_rule(key, std::string(input.text()));
      if (rule) fuzz::require(rule->key == key && !rule->to_string().empty());
      break;
    }
  }
  return 0;
}
