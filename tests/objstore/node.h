#pragma once

#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "objstore/store.h"

namespace mobula::objstore {

inline base::ObjectId id_of(std::uint64_t n) { return base::ObjectId::from_words(n, n ^ 0x5555, 7, 1); }

inline os::Fd duplicate(int fd) { return os::Fd(::dup(fd)); }

// A store and what its raylet does when a client asks.
struct Node {
  explicit Node(const StoreOptions& options) : store(*Store::create(options)) {}

  StoreClient attach() {
    const auto grant = store.attach(::getpid());
    EXPECT_TRUE(grant);
    return *StoreClient::attach(duplicate(grant->control_fd), duplicate(grant->data_fd), grant->slot);
  }
  Result<Allocation> allocate(StoreClient& client, std::size_t size) {
    for (;;) {
      auto allocation = client.allocate(size);
      if (allocation) return allocation;
      const auto slab = store.lease_slab_reserving(client.slot(), client.slab_bytes_needed());
      if (!slab) return slab.error();
      EXPECT_TRUE(client.add_slab(*slab));
    }
  }
  Result<Sealed> put(StoreClient& client, const base::ObjectId& id, const std::string& value,
                     Copy copy = Copy::kPrimary) {
    auto allocation = allocate(client, value.size());
    if (!allocation) return allocation.error();
    allocation->write(0, base::as_bytes(value));
    return client.seal(std::move(*allocation), id, copy);
  }
  void give_back_empty(StoreClient& client) {
    const auto slabs = client.take_empty_slabs(0);
    EXPECT_TRUE(store.return_slabs(client.slot(), slabs));
  }
  void check() const {
    std::string why;
    ASSERT_TRUE(store.is_valid(&why)) << why;
  }

  Store store;
};

inline std::string read(StoreClient& client, const base::ObjectId& id) {
  const auto pin = client.get(id);
  return pin ? std::string(base::as_string_view(pin->bytes())) : "(not here)";
}

}  // namespace mobula::objstore
