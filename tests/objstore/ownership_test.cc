#include "objstore/logic/ownership.h"

#include <gtest/gtest.h>

namespace mobula::objstore {
namespace {

using namespace std::chrono_literals;
using Verb = Statement::Verb;

const auto kOwner = base::WorkerId::from_words(1, 0, 0, 0);
const auto kBorrower = base::WorkerId::from_words(2, 0, 0, 0);
const auto kOther = base::WorkerId::from_words(3, 0, 0, 0);
const RefName kRef{base::ObjectId::from_words(10, 0, 0, 0), kOwner};
const RefName kRef2{base::ObjectId::from_words(11, 0, 0, 0), kOwner};

// One machine with its outputs, told everything at a time of its own.
struct Party {
  explicit Party(const base::WorkerId& id, OwnershipLimits limits = {}) : self(id), machine(id, limits) {}

  void step(OwnershipInput input) {
    machine.step(now, std::move(input), out);
    EXPECT_TRUE(machine.is_valid()) << machine.describe();
  }
  void wait(base::Duration time) {
    const auto end = now + time;
    while (machine.next_deadline() && *machine.next_deadline() <= end) {
      now = *machine.next_deadline();
      machine.tick(now, out);
    }
    now = end;
  }
  template <class T>
  std::vector<T> take() {
    std::vector<T> taken;
    std::erase_if(out, [&](OwnershipOutput& o) {
      if (auto* t = std::get_if<T>(&o)) taken.push_back(std::move(*t));
      return std::holds_alternative<T>(o);
    });
    return taken;
  }
  // As it arrives at `to`, which has every object.
  void hear(Party& from, Tell tell) {
    tell.peer = from.self;
    for (Statement& s : tell.statements) s.exists = true;
    step(std::move(tell));
  }
  void hear(Party& from, Told told) {
    told.peer = from.self;
    step(std::move(told));
  }
  // Passes on what this one has to say, and the answers.
  void talk_to(Party& to) {
    for (Tell& t : take<Tell>()) to.hear(*this, std::move(t));
    for (Told& t : to.take<Told>()) hear(to, std::move(t));
  }

  base::WorkerId self;
  OwnershipMachine machine;
  base::Time now{1s};
  std::vector<OwnershipOutput> out;
};

TEST(Ownership, WhatIsBorrowedIsRetainedUntilItIsReleased) {
  Party owner(kOwner), borrower(kBorrower);
  borrower.step(Borrow{{kRef, kRef2}});
  borrower.talk_to(owner);
  EXPECT_EQ(owner.take<Retain>().size(), 2u);
  borrower.step(Drop{{kRef, kRef2}});
  borrower.talk_to(owner);
  EXPECT_EQ(owner.take<LetGo>().size(), 2u);
  for (const Party* p : {&owner, &borrower}) {
    const auto c = p->machine.counts();
    EXPECT_EQ(c.claims + c.loans + c.unanswered + c.waiting, 0u);
    EXPECT_FALSE(p->machine.next_deadline());
  }
}

TEST(Ownership, ManyReleasesLeaveInOneMessage) {
  Party owner(kOwner), borrower(kBorrower);
  Borrow many;
  for (std::uint64_t i = 0; i < 100; ++i) many.refs.push_back({base::ObjectId::from_words(i, 1, 0, 0), kOwner});
  borrower.step(many);
  EXPECT_EQ(borrower.take<Tell>().size(), 1u);
  EXPECT_EQ(borrower.machine.counts().unanswered, 100u);
}

TEST(Ownership, ACallIsAnsweredOnceTheOwnersCountUs) {
  Party owner(kOwner), borrower(kBorrower);
  borrower.step(Await{1});
  EXPECT_EQ(borrower.take<Passed>().size(), 1u);
  borrower.step(Borrow{{kRef}});
  borrower.step(Await{2});
  EXPECT_TRUE(borrower.take<Passed>().empty());
  borrower.talk_to(owner);
  EXPECT_EQ(borrower.take<Passed>().size(), 1u);
}

TEST(Ownership, AnAnswerDoesNotWaitForBorrowsThatBeganLater) {
  Party owner(kOwner), other(kOther), borrower(kBorrower);
  borrower.step(Borrow{{kRef}});
  borrower.step(Await{1});
  borrower.step(Borrow{{{kRef2.object, kOther}}});
  for (Tell& t : borrower.take<Tell>()) {
    if (t.peer == kOwner) owner.hear(borrower, std::move(t));  // The other owner is silent.
  }
  for (Told& t : owner.take<Told>()) borrower.hear(owner, std::move(t));
  EXPECT_EQ(borrower.take<Passed>().size(), 1u);
}

TEST(Ownership, NothingIsReleasedWhileABorrowIsUnanswered) {
  Party owner(kOwner), other(kOther), borrower(kBorrower);
  borrower.step(Borrow{{kRef}});
  borrower.talk_to(owner);
  const RefName inner{kRef2.object, kOther};
  borrower.step(Borrow{{inner}});
  borrower.step(Drop{{kRef}});
  auto tells = borrower.take<Tell>();
  ASSERT_EQ(tells.size(), 1u);
  EXPECT_EQ(tells[0].peer, kOther);
  other.hear(borrower, tells[0]);
  for (Told& t : other.take<Told>()) borrower.hear(other, std::move(t));
  tells = borrower.take<Tell>();
  ASSERT_EQ(tells.size(), 1u);
  EXPECT_EQ(tells[0].statements.at(0).verb, Verb::kRelease);
}

TEST(Ownership, WhatIsLostIsRepeatedAndWhatIsRepeatedChangesNothing) {
  Party owner(kOwner), borrower(kBorrower);
  borrower.step(Borrow{{kRef}});
  const Tell first = borrower.take<Tell>().at(0);  // Lost.
  borrower.wait(150ms);
  borrower.talk_to(owner);
  owner.hear(borrower, first);
  EXPECT_EQ(owner.take<Retain>().size(), 1u);
  borrower.step(Drop{{kRef}});
  borrower.talk_to(owner);
  EXPECT_EQ(owner.take<LetGo>().size(), 1u);
  borrower.step(Borrow{{kRef2}});  // Its floor tells that the first has been answered.
  borrower.talk_to(owner);
  owner.take<Retain>();
  owner.hear(borrower, first);  // Very late.
  EXPECT_TRUE(owner.take<Retain>().empty());
  EXPECT_EQ(owner.machine.counts().loans, 1u);
}

TEST(Ownership, AReferenceThatComesBackBeforeItsReleaseStaysBorrowed) {
  Party owner(kOwner), borrower(kBorrower);
  borrower.step(Borrow{{kRef}});
  borrower.talk_to(owner);
  borrower.step(Drop{{kRef}});
  borrower.step(Borrow{{kRef}});  // The release is under way.
  EXPECT_FALSE(borrower.machine.is_settled());
  borrower.talk_to(owner);
  borrower.talk_to(owner);
  EXPECT_TRUE(borrower.machine.is_settled());
  EXPECT_EQ(owner.machine.counts().loans, 1u);
}

// The reply of a call that brought the outer reference again must not leave before the inner one is known.
TEST(Ownership, ABorrowThatIsDueStaysDueWhenTheReferenceGoesAgain) {
  Party owner(kOwner), borrower(kBorrower);
  borrower.step(Borrow{{kRef}});
  borrower.talk_to(owner);
  borrower.step(Drop{{kRef}});
  borrower.step(Borrow{{kRef}});  // The release is under way; the call that brought it again ends.
  borrower.step(Await{1});
  borrower.step(Borrow{{kRef2}});  // Read out of it.
  borrower.step(Drop{{kRef}});
  EXPECT_TRUE(borrower.take<Passed>().empty());
  for (int i = 0; i < 3; ++i) borrower.talk_to(owner);
  EXPECT_EQ(borrower.take<Passed>().size(), 1u);
  EXPECT_EQ(owner.machine.counts().loans, 1u);
  EXPECT_TRUE(borrower.machine.is_settled());
}

TEST(Ownership, WhatADeadProcessHadBorrowedIsKeptForAWhile) {
  Party owner(kOwner), borrower(kBorrower), heir(kOther);
  borrower.step(Borrow{{kRef, kRef2}});
  borrower.talk_to(owner);
  owner.step(PeerLost{kBorrower, {}});
  heir.step(PeerLost{kBorrower, {kRef}});  // Was called by it, with this.
  owner.wait(4s);
  EXPECT_TRUE(owner.take<LetGo>().empty());
  heir.talk_to(owner);
  owner.wait(2s);
  const auto let_go = owner.take<LetGo>();
  ASSERT_EQ(let_go.size(), 1u);
  EXPECT_EQ(let_go[0].object, kRef2.object);
  EXPECT_EQ(owner.take<GraceEnded>().size(), 1u);
}

TEST(Ownership, ADeadOwnerHoldsNothingUp) {
  Party owner(kOwner), borrower(kBorrower);
  borrower.step(Borrow{{kRef}});
  borrower.step(Await{1});
  borrower.step(PeerLost{kOwner, {}});
  EXPECT_EQ(borrower.take<Passed>().size(), 1u);
  borrower.step(Borrow{{kRef}});
  EXPECT_EQ(borrower.take<Unknown>().size(), 1u);
  EXPECT_EQ(borrower.machine.counts().claims, 0u);
}

TEST(Ownership, AReferenceToWhatWasFreedBecomesAnError) {
  Party owner(kOwner), borrower(kBorrower);
  borrower.step(Borrow{{kRef}});
  Tell tell = borrower.take<Tell>().at(0);
  tell.peer = kBorrower;
  owner.step(std::move(tell));  // Which does not have it.
  for (Told& t : owner.take<Told>()) borrower.hear(owner, std::move(t));
  EXPECT_EQ(borrower.take<Unknown>().size(), 1u);
}

TEST(Ownership, StatementsBeyondTheWindowWaitTheirTurn) {
  OwnershipLimits limits;
  limits.window = 2;
  Party owner(kOwner, limits), borrower(kBorrower, limits);
  Borrow many;
  for (std::uint64_t i = 0; i < 5; ++i) many.refs.push_back({base::ObjectId::from_words(i, 1, 0, 0), kOwner});
  borrower.step(many);
  for (int i = 0; i < 3; ++i) borrower.talk_to(owner);
  EXPECT_EQ(owner.take<Retain>().size(), 5u);
  EXPECT_TRUE(borrower.machine.is_settled());
}

}  // namespace
}  // namespace mobula::objstore
