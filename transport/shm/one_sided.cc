#include "transport/shm/one_sided.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/base/streaming_copy.h"

namespace mobula::transport::shm {
namespace {

// An operation of this size is not what its reader's cache is for.
constexpr std::size_t kPastCachesBytes = 8u << 20;

}  // namespace

void OneSided::start(const Operation& operation) {
  const std::uint64_t id = operation.key.region;
  if (const auto known = regions_.find(id); known != regions_.end()) return dispatch(operation, known->second);
  const auto [it, first] = fetching_.try_emplace(id);
  it->second.push_back(operation);
  if (!first) return;
  if (const auto asked = fetch_(operation.key); !asked) resolved(id, asked.error(), nullptr);
}

void OneSided::resolved(std::uint64_t id, Result<RegionInfo> info, const os::Fd* file) {
  auto waiting = fetching_.extract(id);
  if (waiting.empty()) return;
  // The owner was asked with the first one's key.
  const RegionKey asked = waiting.mapped().front().key;
  Result<RemoteRegion> region = info ? open_remote_region(asked, *info, file) : Result<RemoteRegion>(info.error());
  if (!region) {
    for (const Operation& operation : waiting.mapped()) {
      operation.key.cookie == asked.cookie ? end(operation, region.error()) : start(operation);
    }
    return;
  }
  const auto it = regions_.insert_or_assign(id, *std::move(region)).first;
  for (const Operation& operation : waiting.mapped()) dispatch(operation, it->second);
}

void OneSided::dispatch(const Operation& operation, const RemoteRegion& region) {
  if (const auto allowed = region.check(operation.key, operation.offset, operation.size, operation.wanted); !allowed) {
    return end(operation, allowed.error());
  }
  if (operation.size == 0) return end(operation, std::size_t{0});
  if (region.mapped == nullptr && process_ == nullptr) return relay_.start(operation, queue_);
  active_.push_back(operation);
  if (active_.size() == 1 && operation.size <= kAtOnceBytes) work(kAtOnceBytes);
}

std::size_t OneSided::work(std::size_t budget) {
  std::size_t copied = 0;
  while (!active_.empty() && copied < budget) {
    Operation& operation = active_.front();
    const std::size_t slice = std::min(budget - copied, operation.size - operation.moved);
    const auto done = copy(operation, slice);
    copied += slice;
    if (done && operation.moved < operation.size) continue;
    const Operation ended = operation;
    active_.pop_front();
    if (done) {
      end(ended, ended.size);
    } else if (done.error().code == base::Code::kDenied) {
      process_ = nullptr;  // The kernel has changed its mind.
      Operation again = ended;
      again.moved = 0;
      relay_.start(again, queue_);
    } else {
      end(ended, done.error());
    }
  }
  return copied;
}

Result<void> OneSided::copy(Operation& operation, std::size_t bytes) {
  // Looked up for each slice: the owner may have withdrawn the region.
  const auto it = regions_.find(operation.key.region);
  if (it == regions_.end()) {
    return base::Error{base::Code::kNotFound, "region " + std::to_string(operation.key.region) + " is gone"};
  }
  const RemoteRegion& region = it->second;
  const std::uint64_t at = operation.offset + operation.moved;
  std::byte* local = operation.local + operation.moved;
  if (region.mapped != nullptr) {
    std::byte* to = operation.is_read() ? local : region.mapped + at;
    const std::byte* from = operation.is_read() ? region.mapped + at : local;
    if (operation.size < kPastCachesBytes) {
      std::memcpy(to, from, bytes);
    } else {
      base::copy_past_caches(to, from, bytes);
    }
  } else {
    if (process_ == nullptr) return base::Error{base::Code::kDenied, "the kernel does not copy"};
    const auto copied = operation.is_read() ? process_->read(region.address + at, {local, bytes})
                                            : process_->write({local, bytes}, region.address + at);
    if (!copied) return copied.error();
  }
  operation.moved += bytes;
  return {};
}

void OneSided::fail(const base::Error& why) {
  for (const auto& [id, operations] : fetching_) {
    for (const Operation& operation : operations) end(operation, why);
  }
  for (const Operation& operation : active_) end(operation, why);
  fetching_.clear();
  active_.clear();
  regions_.clear();
}

}  // namespace mobula::transport::shm
