#include "core/raylet/pull_driver.h"

#include <algorithm>
#include <utility>

#include "core/base/limits.h"
#include "core/cluster/convert.h"

namespace mobula::raylet {
namespace {

using base::Code;
using base::Error;
using base::NodeId;
using base::ObjectId;
using base::Result;
using cluster::to_id;

constexpr auto kReadTimeout = std::chrono::seconds(5);
constexpr int kAllocateTries = 3;  // Each leases a slab; another object may take it first.

}  // namespace

PullDriver::PullDriver(os::EventLoop& loop, const NodeId& self, StoreService& store, objstore::StoreClient client,
                       DataPlane& data, Ports ports)
    : loop_(loop), self_(self), store_(store), client_(std::move(client)), data_(data), ports_(std::move(ports)) {}

PullDriver::~PullDriver() { *alive_ = false; }

PullDriver::Counts PullDriver::counts() const { return {pulls_.size(), served_.size(), bytes_pulled_, bytes_served_}; }

void PullDriver::serve(rpc::Rpc& rpc) {
  rpc.on<proto::Pull>(
      proto::PULL, [this](proto::Pull&& request, rpc::Responder responder) { start(request, std::move(responder)); });
  rpc.on<proto::FreeObjects>(proto::FREE_OBJECTS, [this](proto::FreeObjects&& objects, rpc::Responder responder) {
    if (objects.nodes().empty()) free_here(objects);
    for (const auto& bytes : objects.nodes()) {
      const auto node = to_id<NodeId>(bytes);
      if (node == self_) {
        free_here(objects);
      } else if (rpc::Rpc* peer = ports_.peer(node)) {
        proto::FreeObjects message;
        *message.mutable_object_ids() = objects.object_ids();
        (void)peer->notify(proto::PEER_FREE, message);
      }
    }
    responder.reply(proto::Empty());
  });
}

void PullDriver::serve_peer(const NodeId& peer, rpc::Rpc& rpc) {
  rpc.on<proto::PeerRead>(proto::PEER_READ, [this, peer](proto::PeerRead&& request, rpc::Responder responder) {
    answer_read(peer, request, responder);
  });
  rpc.on<proto::PeerRelease>(proto::PEER_RELEASE,
                             [this](proto::PeerRelease&& message, rpc::Responder) { served_.erase(message.pin()); });
  rpc.on<proto::FreeObjects>(proto::PEER_FREE,
                             [this](proto::FreeObjects&& objects, rpc::Responder) { free_here(objects); });
}

void PullDriver::free_here(const proto::FreeObjects& objects) {
  for (const auto& bytes : objects.object_ids()) {
    if (const auto object = ObjectId::from_string(bytes)) store_.store().free(*object);
  }
}

void PullDriver::give_back_slabs() { (void)store_.store().return_slabs(client_.slot(), client_.take_empty_slabs(0)); }

void PullDriver::peer_gone(const NodeId& peer) {
  std::erase_if(served_, [&peer](const auto& entry) { return entry.second.peer == peer; });
  data_.forget(peer);
}

void PullDriver::answer_read(const NodeId& peer, const proto::PeerRead& request, const rpc::Responder& responder) {
  auto pin = client_.get(to_id<ObjectId>(request.object_id()));
  if (!pin) return responder.fail({Code::kNotFound, "the object is not here"});
  proto::PeerReadReply reply;
  reply.set_size(pin->bytes().size());
  reply.set_region_offset(pin->offset());
  reply.set_pin(next_pin_);
  bytes_served_ += pin->bytes().size();
  served_.emplace(next_pin_++, Served{peer, std::move(*pin)});
  responder.reply(reply);
}

void PullDriver::start(const proto::Pull& request, rpc::Responder responder) {
  const auto object = ObjectId::from_string(request.object_id());
  if (!object || static_cast<std::size_t>(request.holders_size()) > base::kRefsPerMessageMax) {
    return responder.fail({Code::kInvalid, "PULL without an object"});
  }
  if (client_.contains(*object)) {
    proto::Pulled here;
    here.set_node_id(self_.bytes());
    return responder.reply(here);
  }
  const auto [it, is_new] = pulls_.try_emplace(*object);
  Pull& pull = it->second;
  pull.waiting.push_back(std::move(responder));
  for (const auto& bytes : request.holders()) {
    const auto holder = to_id<NodeId>(bytes);
    if (holder != self_ && pull.asked.insert(holder).second) pull.holders.insert(pull.holders.begin(), holder);
  }
  if (!is_new) return;  // Whoever comes later brings holders and waits for the same copy.
  pull.number = next_number_++;
  pull.size = request.size();
  ask_next(*object);
}

void PullDriver::ask_next(const ObjectId& object) {
  Pull& pull = pulls_.at(object);
  if (pull.holders.empty()) {
    const Error lost{pull.may_be_there ? Code::kUnavailable : Code::kLost,
                     "object " + object.short_hex() + " could not be brought here" +
                         (pull.said.empty() ? std::string(": no node is known to hold it") : pull.said)};
    return finish(object, &lost);
  }
  pull.from = pull.holders.back();
  pull.holders.pop_back();
  rpc::Rpc* peer = ports_.peer(pull.from);
  if (peer == nullptr) return holder_failed(object, {Code::kUnavailable, "it is dead or unknown"});
  proto::PeerRead request;
  request.set_object_id(object.bytes());
  peer->ask<proto::PeerReadReply>(
      proto::PEER_READ, request, kReadTimeout,
      [this, alive = alive_, object, number = pull.number, from = pull.from](Result<proto::PeerReadReply> reply) {
        if (!*alive) return;
        const auto it = pulls_.find(object);
        if (it == pulls_.end() || it->second.number != number || it->second.from != from) return;
        if (!reply) return holder_failed(object, reply.error());
        found(object, *reply);
      });
}

void PullDriver::found(const ObjectId& object, const proto::PeerReadReply& reply) {
  Pull& pull = pulls_.at(object);
  pull.size = reply.size();
  pull.remote_pin = reply.pin();
  pull.remote_offset = reply.region_offset();
  allocate(object, kAllocateTries);
}

void PullDriver::allocate(const ObjectId& object, int tries) {
  Pull& pull = pulls_.at(object);
  auto allocation = client_.allocate(pull.size);
  if (allocation) {
    pull.to = std::make_unique<objstore::Allocation>(std::move(*allocation));
    return copy(object);
  }
  if (allocation.error().code != Code::kExhausted || tries == 0) {
    const Error error = allocation.error();
    return finish(object, &error);
  }
  store_.lease(client_.slot(), client_.slab_bytes_needed(),
               [this, alive = alive_, object, number = pull.number, tries](Result<objstore::SlabGrant> slab) {
                 if (!*alive) return;
                 if (slab) (void)client_.add_slab(*slab);
                 const auto it = pulls_.find(object);
                 if (it == pulls_.end() || it->second.number != number) return;
                 if (slab) return allocate(object, tries - 1);
                 const Error error{Code::kExhausted, "no room in the store of this node for " +
                                                         std::to_string(it->second.size) +
                                                         " bytes: " + slab.error().what};
                 finish(object, &error);
               });
}

void PullDriver::copy(const ObjectId& object) {
  Pull& pull = pulls_.at(object);
  data_.read(pull.from, pull.remote_offset, *pull.to, pull.size,
             [this, object, number = pull.number](Result<void> result) { copied(object, number, std::move(result)); });
}

void PullDriver::copied(const ObjectId& object, std::uint64_t number, Result<void> result) {
  const auto it = pulls_.find(object);
  if (it == pulls_.end() || it->second.number != number) return;
  Pull& pull = it->second;
  if (!result) {
    client_.abort(std::move(*pull.to));
    pull.to.reset();
    return holder_failed(object, result.error());
  }
  bytes_pulled_ += pull.size;
  release(pull);
  const auto sealed = client_.seal(std::move(*pull.to), object, objstore::Copy::kSecondary);
  if (sealed) return finish(object, nullptr);
  client_.abort(std::move(*pull.to));
  const Error error = sealed.error();
  finish(object, &error);
}

void PullDriver::holder_failed(const ObjectId& object, const Error& why) {
  Pull& pull = pulls_.at(object);
  if (why.code != Code::kNotFound && !ports_.dead(pull.from)) pull.may_be_there = true;
  pull.said += "; node " + ports_.name(pull.from) + ": " + why.what;
  release(pull);
  ask_next(object);
}

void PullDriver::release(Pull& pull) {
  if (pull.remote_pin == 0) return;
  proto::PeerRelease message;
  message.set_pin(std::exchange(pull.remote_pin, 0));
  if (rpc::Rpc* peer = ports_.peer(pull.from)) (void)peer->notify(proto::PEER_RELEASE, message);
}

void PullDriver::finish(const ObjectId& object, const Error* error) {
  auto pull = pulls_.extract(object);
  release(pull.mapped());
  if (pull.mapped().to != nullptr && pull.mapped().to->valid()) client_.abort(std::move(*pull.mapped().to));
  proto::Pulled done;
  done.set_node_id(self_.bytes());
  for (const auto& responder : pull.mapped().waiting) {
    if (error != nullptr) {
      responder.fail(*error);
    } else {
      responder.reply(done);
    }
  }
}

}  // namespace mobula::raylet
