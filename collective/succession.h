#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "collective/algorithms.h"
#include "core/base/bytes.h"

namespace mobula::collective {

// How a group that has failed goes on.
enum class Recovery : std::uint8_t {
  kShrink = 1,   // Without those that died: the others are ranked anew, in the same order.
  kRebuild = 2,  // With other runs of those that died, under the same ranks.
};
const char* name_of(Recovery how);

// Who is in the next epoch, by ranks of the epoch that failed.
struct Proposal {
  Recovery how = Recovery::kShrink;
  std::map<int, std::uint64_t> lost;  // And the first incarnation of each that may take its place.
  bool operator==(const Proposal&) const = default;
};

// One entry of an epoch's log: what is decided after that epoch has failed, once and for all members.  Entries are
// numbered from 1; where one is, nobody can write another.
struct Entry {
  enum class Kind : std::uint8_t {
    kProposal = 1,  // Entry s of epoch e: come together in epoch e + s.
    kCommit,        // All did: the proposal before this entry is the next epoch.
    kEnd,           // It cannot be, says `what`; whoever calls again begins behind this entry.
  };
  Kind kind = Kind::kCommit;
  Proposal proposal;
  std::string what;
  bool operator==(const Entry&) const = default;

  static Entry propose(Proposal proposal);
  static Entry commit();
  static Entry end(std::string what);
};
void encode(const Entry& entry, base::Buffer& out);
std::optional<Entry> decode_entry(base::ConstBytes bytes);

struct Slot {
  std::uint32_t epoch = 0;
  std::uint32_t number = 0;
  auto operator<=>(const Slot&) const = default;
};

// How one member of a failed group finds out how the group goes on: a machine without I/O.
//
// A store that all members reach keeps each epoch's log, and takes an entry only where there is none; so members that
// saw different deaths agree, whoever of them dies meanwhile.  A member writes what it would do (or learns what was
// decided before), comes together with the others in the proposed epoch by an ordinary barrier, and writes that they
// have come together; who sees another death there writes the next proposal instead.  The first of both decides.
//
// Obligations, which the simulation checks: members that end well from one epoch have the same next epoch and the same
// members; who lives and was not declared dead is among them; each ends, as long as the store answers and the members
// that are waited for come or die.
class Succession {
 public:
  struct Start {
    std::uint32_t epoch = 1;  // That has failed; of a newcomer: the group's first.
    Place place;              // In it.
    Recovery how = Recovery::kShrink;
    std::map<int, std::uint64_t> lost;  // As far as is known here.
    std::uint32_t slot = 1;             // Behind the entries that this member knows.
    std::uint64_t incarnation = 0;      // Of this process.
    bool newcomer = false;              // It was started again, and knows of no later epoch.  It can only be rebuilt.
  };
  explicit Succession(const Start& start);

  // ---- what to do next; the driver answers with the function named.
  struct Read {  // on_slot()
    Slot slot;
  };
  struct Write {  // on_slot() with what is there then.
    Slot slot;
    Entry entry;
  };
  // Be a member of this epoch and pass a barrier there: on_met() or on_failed().
  struct Meet {
    std::uint32_t epoch;
    std::vector<int> members;                   // Ranks of Start::place, by their new rank.
    std::map<int, std::uint64_t> incarnations;  // The first that may come, by new rank; of the others any.
  };
  // Nobody will come together in this epoch, of which this process is a member: end it for all who wait there.
  // on_spoilt().
  struct Spoil {
    std::uint32_t epoch;
    std::vector<int> members;
    std::optional<std::uint64_t> incarnation;  // This rank's last run has ended: who takes its place now.
    std::string what;
  };
  // The end.
  struct Next {
    std::uint32_t epoch;
    std::vector<int> members;  // Ranks of Start::place, by their new rank.
  };
  struct Failed {
    std::string what;
    bool left_out = false;   // The others go on without this member.
    std::uint32_t slot = 1;  // For the next Start.
  };
  using Action = std::variant<Read, Write, Meet, Spoil, Next, Failed>;
  const Action& next() const { return next_; }

  void on_slot(const std::optional<Entry>& entry);
  void on_met();
  struct Losses {
    std::map<int, std::uint64_t> dead;  // By rank of the epoch that was tried, and the first that may take its place.
    std::set<int> gone;                 // Of its ranks: nothing can take their place.
    std::string what;
  };
  void on_failed(const Losses& losses);
  void on_spoilt();

 private:
  enum class Doing : std::uint8_t { kWalking, kBeginning, kDeciding, kLooking };

  int self() const { return place_.rank; }
  std::vector<int> originals(const std::vector<int>& ranks) const;
  std::vector<int> members_of(const Proposal& proposal) const;
  // Of the epoch that `proposal`, the entry before slot_, has proposed.
  Spoil spoil(const Proposal& proposal, std::string what) const;
  void read() { next_ = Read{slot_}; }
  void write(Entry entry) { next_ = Write{slot_, std::move(entry)}; }
  void begin();
  void walk(const std::optional<Entry>& entry);
  void walk_on(const Entry& entry);
  void pass(const Proposal& committed);
  void consider(const Proposal& proposal);
  void decide(const Entry& entry);
  void look(const std::optional<Entry>& entry);
  void finish(const Proposal& committed);
  void leave(std::string what, bool left_out);

  Place place_;  // In the epoch slot_.epoch.
  Recovery how_;
  std::map<int, std::uint64_t> lost_;
  std::uint64_t incarnation_;
  bool newcomer_;
  std::vector<int> originals_;  // Ranks of Start::place, by rank in slot_.epoch.
  Slot slot_;
  Doing doing_;
  std::optional<Proposal> open_;  // The last entry before slot_, when that is a proposal; or what is at slot_.
  std::optional<Spoil> spoil_;    // Once the entry is written that makes it needed,
  Entry found_;                   // and what was there, until it is done.
  Action next_;
};

}  // namespace mobula::collective
