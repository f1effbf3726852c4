#include "core/gcs/key_value.h"

#include <utility>

#include "core/base/limits.h"

namespace mobula::gcs {
namespace {

using base::Code;

constexpr const char* kTable = "kv";

std::string full_key(const proto::KeyValue& request) {
  // The length in front keeps ("a", "bc") and ("ab", "c") apart.
  return std::to_string(request.ns().size()) + ":" + request.ns() + request.key();
}

}  // namespace

void KeyValueStore::put(const proto::KeyValue& request, const rpc::Responder& responder) {
  if (request.key().size() + request.ns().size() > base::kNameBytesMax) {
    return responder.fail({Code::kInvalid, "the key is longer than " + std::to_string(base::kNameBytesMax) + " bytes"});
  }
  if (request.value().size() > kValueBytesMax) {
    return responder.fail({Code::kInvalid, "the value has " + std::to_string(request.value().size()) +
                                               " bytes; at most " + std::to_string(kValueBytesMax) + " are taken"});
  }
  const std::string key = full_key(request);
  const auto before = storage_.get(kTable, key);
  proto::KeyValue reply;
  reply.set_found(before.has_value());
  if (before && !request.overwrite()) {
    reply.set_value(*before);
    return responder.reply(reply);
  }
  const std::size_t bytes = bytes_ - (before ? before->size() : 0) + request.value().size();
  if (bytes > kTotalBytesMax) return responder.fail({Code::kExhausted, "the key-value table is full"});
  bytes_ = bytes;
  storage_.put(kTable, key, request.value());
  responder.reply(reply);
}

void KeyValueStore::serve(rpc::Rpc& rpc) {
  rpc.on<proto::KeyValue>(proto::KV_PUT,
                          [this](proto::KeyValue&& request, rpc::Responder responder) { put(request, responder); });
  rpc.on<proto::KeyValue>(proto::KV_GET, [this](proto::KeyValue&& request, rpc::Responder responder) {
    auto value = storage_.get(kTable, full_key(request));
    request.set_found(value.has_value());
    request.set_value(value ? std::move(*value) : std::string());
    responder.reply(request);
  });
  rpc.on<proto::KeyValue>(proto::KV_DELETE, [this](proto::KeyValue&& request, rpc::Responder responder) {
    const std::string key = full_key(request);
    const auto before = storage_.get(kTable, key);
    if (before) bytes_ -= before->size();
    request.set_found(storage_.erase(kTable, key));
    responder.reply(request);
  });
}

}  // namespace mobula::gcs
