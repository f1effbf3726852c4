#pragma once

#include <string>

#include "core/base/proto/control.pb.h"
#include "core/gcs/storage.h"
#include "core/rpc/rpc.h"

namespace mobula::gcs {

// The cluster's key-value table, in namespaces.
class KeyValueStore {
 public:
  static constexpr std::size_t kValueBytesMax = 4u << 20;
  static constexpr std::size_t kTotalBytesMax = 1u << 30;

  explicit KeyValueStore(Storage& storage) : storage_(storage) {}
  void serve(rpc::Rpc& rpc);  // KV_PUT, KV_GET, KV_DELETE.

 private:
  void put(const proto::KeyValue& request, const rpc::Responder& responder);

  Storage& storage_;
  std::size_t bytes_ = 0;
};

}  // namespace mobula::gcs
