#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/ids.h"
#include "core/base/result.h"
#include "core/os/fd.h"

// The node's object store: one memory file that the node's processes share.
//
// The raylet owns a Store; each process, the raylet included, owns a StoreClient.  A client leases
// slabs (runs of the file) from the raylet, allocates in them itself, and publishes finished objects in
// an index in shared memory.  So a put and a get of something that is here send no message, and what a
// process held when it died is found in shared memory by its process slot.  Layout: objstore/README.md.
namespace mobula::objstore {

using base::Bytes;
using base::ConstBytes;
using base::ObjectId;
using base::Result;

// Which of the store's processes; small and reused once its former holder was detached or reclaimed.
using SlotId = std::uint32_t;

inline constexpr std::size_t kObjectAlignment = 64;

// A run of the data file that one process may write, until it gives it back or dies.
struct SlabGrant {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

enum class Copy : std::uint8_t {
  kPrimary,    // Stays until it is freed.
  kSecondary,  // A copy of what another node holds; may be evicted when nobody has it pinned.
};

// seal() of an id that is here already keeps the copy that is here and drops the new one: objects are
// immutable, and a task that runs again makes the same ids.
enum class Sealed : std::uint8_t { kNew, kAlreadyHere };

enum class HugePages : std::uint8_t { kNone, kTransparent };

struct StoreOptions {
  std::uint64_t bytes = 0;                         // Capacity; rounded up to the slab unit.
  std::uint64_t extent_bytes = 64u << 20;          // Reserved ahead in steps of this.
  std::uint64_t reserve_piece_bytes = 8u << 20;    // One reserve_more() takes at most this much time's worth.
  std::uint64_t slab_bytes = 8u << 20;             // What a lease of less is rounded up to; objects of more
                                                   // than half of it get a slab of their own.
  std::size_t index_entries = 0;                   // 0: one per 64 KiB, at least 4096; a power of two.
  SlotId process_slots = 256;                      // Processes attached at once; at most 4095.
  HugePages huge_pages = HugePages::kTransparent;  // Where the machine gives them; kNone: not even there.
  std::uint64_t keep_free_bytes = 256u << 20;      // Left to the machine (and to each cgroup above us), always.
  std::uint64_t reserve_limit = ~0ull;             // Never reserve more than this: a quota, for tests and for hosts
                                                   // shared with others.
};

struct StoreStats {
  std::uint64_t capacity = 0;         // Bytes of the file.
  std::uint64_t reserved = 0;         // Pages taken from the machine; safe to touch.
  std::uint64_t leased = 0;           // In slabs of live processes.
  std::uint64_t orphaned = 0;         // In slabs whose process is gone and that still hold objects.
  std::uint64_t sealed_bytes = 0;     // In sealed objects, by their own sizes.
  std::uint64_t secondary_bytes = 0;  // The part of sealed_bytes that may be evicted unless pinned.
  std::uint64_t objects = 0;
  std::uint64_t doomed_objects = 0;  // Freed while pinned; their bytes come back with the last unpin.
  std::uint64_t free_bytes = 0;      // Neither leased nor orphaned.
  std::uint64_t largest_free_run = 0;
  double fragmentation = 0;  // 1 - largest_free_run / free_bytes; 0 when nothing is free.
  std::size_t index_entries = 0;
  std::size_t processes = 0;
  HugePages huge_pages = HugePages::kNone;  // What was obtained.
  std::string to_string() const;            // One line for a person.
};

// What a process needs to attach: pass both descriptors (SCM_RIGHTS or spawn) and the slot.  The
// descriptors belong to the Store.
struct AttachGrant {
  SlotId slot = 0;
  int control_fd = -1;
  int data_fd = -1;
};

// What a process held when it was detached or reclaimed.
struct Reclaimed {
  std::size_t slabs = 0;
  std::uint64_t slab_bytes = 0;
  std::size_t half_sealed = 0;  // Index entries claimed and never published.
  std::size_t pins = 0;         // Distinct objects it had pinned.
  std::size_t corrupt = 0;      // Entries that lay outside its slabs or on each other: dropped.
  // Sealed by it and never adopted: no owner may know of them.  They stay until free()d.
  std::vector<ObjectId> unadopted;
};

struct StoreImpl;
struct ClientImpl;

// The raylet's side, one per node.  One thread.  Nothing blocks but where it says so.
class Store {
 public:
  // Makes the two memory files (sealed against shrinking and growing) and reserves the
  // control file; the data's pages come with reserve_more().  kExhausted, with the numbers, when the machine has not
  // that much.
  static Result<Store> create(const StoreOptions& options);

  Store(Store&& other) noexcept;
  Store& operator=(Store&&) = delete;
  ~Store();

  // Gives a process slot.  kExhausted: all are taken.
  Result<AttachGrant> attach(pid_t pid);
  // Takes back all that the slot holds.  REQUIRES: its process is gone (reaped, or its pidfd says so), or it
  // has destroyed its StoreClient.  It may have died by any means at any instruction.
  Reclaimed reclaim(SlotId slot);

  // Leases a slab in which an object of `bytes_min` fits.
  //   kUnavailable: its pages are being reserved; try again after the next reserve_more().
  //   kExhausted: no run is that long or the machine has no memory; the numbers are in the error.  Evict,
  //     ask processes for their empty slabs (StoreClient::take_empty_slabs), spill, or tell the putter.
  //   kInvalid: larger than the store, or no such slot.
  Result<SlabGrant> lease_slab(SlotId slot, std::uint64_t bytes_min);
  // The same, and reserves what it needs before it returns: blocks for as long (about 0.4 s per GiB).
  Result<SlabGrant> lease_slab_reserving(SlotId slot, std::uint64_t bytes_min);
  // kInvalid unless leased to `slot` just so.  Objects that still lie in it stay and are the raylet's.
  Result<void> return_slab(SlotId slot, const SlabGrant& slab);

  // Several at once: the index is looked through once.
  Result<void> return_slabs(SlotId slot, const std::vector<SlabGrant>& slabs);

  // The owner has been told of this object (see Reclaimed::unadopted).  False: not here.
  bool adopt(const ObjectId& id);
  // The owner's last reference is gone: nobody finds it from now on, and its bytes come back when the
  // last pin goes.  False: not here.
  bool free(const ObjectId& id);
  bool contains(const ObjectId& id) const;

  // Drops secondary copies that nobody has pinned, those not read for longest first (a clock with a second
  // chance), until `bytes_needed` are gone or none is left.  Returns how many bytes were dropped.  Those in slabs of
  // live processes come back when these sweep.
  std::uint64_t evict_secondary(std::uint64_t bytes_needed);

  // Takes pages ahead of demand, one piece a call (a few milliseconds).  For a timer: true means that there is more to
  // do now.  Refuses, and says so in `reserve_error()`, when the machine or a cgroup would be left with less than
  // keep_free_bytes.
  bool reserve_more();
  const std::optional<base::Error>& reserve_error() const;

  // Finishes what no message tells the raylet: objects whose last pin has gone, in slabs of processes that are gone.
  // Cheap when there is nothing.  For a timer, and before giving up on a full store.
  void sweep();

  StoreStats stats() const;
  // What pages the store has got and why, in one line for `doctor`.  Slow.
  std::string memory_report() const;
  // Checks every invariant of the slab table against the index.  Clients may be running.  On false `why`, when
  // given, says which.
  bool is_valid(std::string* why = nullptr) const;

  int control_fd() const;
  int data_fd() const;  // Also for raylets of the same host, which map it read-only.

 private:
  explicit Store(std::unique_ptr<StoreImpl> impl);
  std::unique_ptr<StoreImpl> impl_;
};

// Writable store memory that nobody else can see yet.  Give it to seal() or abort(); one that is
// just destroyed is taken back by its client's next allocate().
class Allocation {
 public:
  Allocation() = default;
  Allocation(Allocation&& other) noexcept { *this = std::move(other); }
  Allocation& operator=(Allocation&& other) noexcept;
  ~Allocation();

  Bytes bytes() const { return bytes_; }  // kObjectAlignment-aligned; uninitialised.

  // Copies `from` to `at`, after mapping the pages that are not mapped yet.  Needs no lock.
  void write(std::size_t at, ConstBytes from) const;
  // Maps the next `bytes_max` bytes' pages that are not mapped yet, so that their writer does not fault; how many bytes
  // were done, 0 when all are.  Needs no lock; may run beside the writer.
  std::size_t populate(std::size_t bytes_max) const;

  std::uint64_t offset() const { return offset_; }  // In the data file.
  bool valid() const { return client_ != nullptr; }

 private:
  friend class StoreClient;
  Bytes bytes_;
  std::uint64_t offset_ = 0;
  SlabGrant slab_;
  std::shared_ptr<ClientImpl> client_;
};

// Keeps one sealed object where it is.  Reading needs no lock.  May be destroyed by any thread, also after
// its StoreClient (the mapping lives as long as the last pin).
class Pin {
 public:
  Pin() = default;
  Pin(Pin&& other) noexcept { *this = std::move(other); }
  Pin& operator=(Pin&& other) noexcept;
  ~Pin();

  ConstBytes bytes() const { return bytes_; }
  std::uint64_t offset() const { return offset_; }  // In the data file.
  bool valid() const { return client_ != nullptr; }
  Pin share() const;  // A second pin on the same object.

 private:
  friend class StoreClient;
  friend struct ClientImpl;
  ConstBytes bytes_;
  std::uint64_t offset_ = 0;
  std::uint32_t entry_ = 0;
  std::shared_ptr<ClientImpl> client_;
};

// A process's side.  One thread at a time, the caller's lock around it; Pins and their destruction are free of it.  No
// method sends a message or blocks.
class StoreClient {
 public:
  // Takes the descriptors.  kInvalid: not a store of this version, or the slot is not attached.
  static Result<StoreClient> attach(os::Fd control, os::Fd data, SlotId slot);

  StoreClient(StoreClient&& other) noexcept;
  StoreClient& operator=(StoreClient&&) = delete;
  ~StoreClient();  // Does not tell the raylet: Store::reclaim(slot) does the rest.

  // Memory for one object.  kExhausted: no slab of ours has that much room: lease one of slab_bytes_needed() from the
  // raylet, add_slab(), and call again.
  Result<Allocation> allocate(std::size_t size);
  std::uint64_t slab_bytes_needed() const;        // Of the last allocate() that failed.
  Result<void> add_slab(const SlabGrant& grant);  // kInvalid: outside the file.

  // Publishes it: from here on every process of the node finds it.  kExhausted: the index is full; the
  // allocation is then still the caller's.
  Result<Sealed> seal(Allocation&& allocation, const ObjectId& id, Copy copy);
  void abort(Allocation&& allocation);

  // get() will be asked for this object soon, perhaps: a hint that costs next to nothing.
  void expect(const ObjectId& id) const;
  // The object, pinned, when a sealed copy is on this node.  nullopt: ask the raylet.
  std::optional<Pin> get(const ObjectId& id);
  bool contains(const ObjectId& id) const;

  // As Store::free(), for an owner that is this process; bytes in our own slabs are reusable at once.
  bool free(const ObjectId& id);

  // Takes back what others freed in our slabs.  allocate() does so when it must.
  void sweep();
  // Slabs of ours without an object, beyond `keep_bytes`: give them to Store::return_slab().
  std::vector<SlabGrant> take_empty_slabs(std::uint64_t keep_bytes);

  SlotId slot() const;
  int data_fd() const;
  Bytes mapping() const;  // The whole data file; only our slabs are writable.

 private:
  explicit StoreClient(std::shared_ptr<ClientImpl> impl);
  std::shared_ptr<ClientImpl> impl_;
};

}  // namespace mobula::objstore
