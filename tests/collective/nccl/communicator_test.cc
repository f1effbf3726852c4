// The communicator against recorded entry points: what is called in which order, and what each fault does.  What NCCL
// itself says is in library_test.cc, and on a GPU in bench/gpu.
#include "collective/nccl/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/collective/nccl/fake.h"

namespace mobula::collective::nccl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Communicators : public ::testing::Test {
 protected:
  std::unique_ptr<Communicator> join(Place place = {1, 4}) {
    auto joined = Communicator::join(nccl_.library, {}, place, {});
    EXPECT_TRUE(joined.ok());
    nccl_.calls.clear();
    return joined ? std::move(*joined) : nullptr;
  }
  Comm comm() const { return nccl_.alive.front(); }
  void progress(Status status = kSuccess) { nccl_.async_error[comm()] = status; }
  // Number of the operation.
  std::uint64_t sum(Communicator& on, std::size_t count = 8) {
    const auto begun = on.allreduce(buffer_, buffer_, count, DataType::kFloat32, ReduceOp::kSum, nullptr);
    EXPECT_TRUE(begun.ok());
    return begun ? *begun : 0;
  }

  FakeNccl nccl_;
  float buffer_[64] = {};
};

TEST_F(Communicators, never_block_and_are_ready_when_all_have_come) {
  nccl_.answers = {kInProgress};
  auto joined = Communicator::join(nccl_.library, {}, {2, 3}, {});
  ASSERT_TRUE(joined.ok());
  EXPECT_THAT(nccl_.calls, ElementsAre("join 2 of 3"));
  EXPECT_EQ((*joined)->poll(), Communicator::State::kJoining);
  progress();
  EXPECT_EQ((*joined)->poll(), Communicator::State::kReady);
}

TEST_F(Communicators, begin_operations_in_order_once_they_are_ready) {
  nccl_.answers = {kInProgress};
  auto c = join();
  sum(*c, 1);
  EXPECT_EQ(sum(*c, 2), 2u);
  EXPECT_THAT(nccl_.calls, IsEmpty());
  progress();
  EXPECT_EQ(c->poll(), Communicator::State::kReady);
  EXPECT_THAT(nccl_.calls, ElementsAre("allreduce 1 of type 7 by 0", "allreduce 2 of type 7 by 0"));
  EXPECT_EQ(c->begun(), 2u);
}

TEST_F(Communicators, give_NCCL_nothing_while_it_is_busy) {
  auto c = join();
  nccl_.answers = {kInProgress};
  sum(*c, 1);
  sum(*c, 2);
  EXPECT_EQ(c->poll(), Communicator::State::kBusy);
  EXPECT_EQ(c->begun(), 0u);
  EXPECT_THAT(nccl_.calls, ElementsAre("allreduce 1 of type 7 by 0"));
  progress();
  EXPECT_EQ(c->poll(), Communicator::State::kReady);
  EXPECT_EQ(c->begun(), 2u);
  EXPECT_FALSE(nccl_.busy_is_misused);
}

TEST_F(Communicators, call_each_operation_as_NCCL_means_it) {
  auto c = join({1, 2});
  using C = std::complex<float>;
  EXPECT_TRUE(c->reduce(buffer_, buffer_, 3, DataType::kBfloat16, ReduceOp::kMax, 1, nullptr).ok());
  EXPECT_TRUE(c->reduce_scatter(buffer_, buffer_, 4, DataType::kInt64, ReduceOp::kMin, nullptr).ok());
  EXPECT_TRUE(c->allreduce(buffer_, buffer_, 5, kDataTypeOf<C>, ReduceOp::kAverage, nullptr).ok());
  EXPECT_TRUE(c->broadcast(buffer_, 6, 1, nullptr).ok());
  EXPECT_TRUE(c->allgather(buffer_, buffer_, 7, nullptr).ok());
  EXPECT_TRUE(c->alltoall(buffer_, buffer_, 8, nullptr).ok());
  EXPECT_TRUE(c->send(buffer_, 9, 0, nullptr).ok());
  EXPECT_TRUE(c->receive(buffer_, 10, 0, nullptr).ok());
  EXPECT_THAT(nccl_.calls,
              ElementsAre("reduce 3 of type 9 by 2 to 1", "reduce_scatter 4 of type 4 by 3",
                          "allreduce 10 of type 7 by 4", "broadcast 6 from 1", "allgather 7", "(", "send 8 to 0",
                          "recv 8 from 0", "send 8 to 1", "recv 8 from 1", ")", "send 9 to 0", "recv 10 from 0"));
}

TEST_F(Communicators, refuse_what_NCCL_has_not) {
  auto c = join();
  for (const auto& [type, op] :
       {std::pair(DataType::kInt32, ReduceOp::kBitAnd), std::pair(DataType::kInt16, ReduceOp::kSum),
        std::pair(DataType::kComplex64, ReduceOp::kProduct)}) {
    const auto refused = c->allreduce(buffer_, buffer_, 1, type, op, nullptr);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, base::Code::kInvalid);
    EXPECT_THAT(refused.error().what, HasSubstr(name_of(op)));
    EXPECT_THAT(refused.error().what, HasSubstr(name_of(type)));
  }
  EXPECT_THAT(nccl_.calls, IsEmpty());
  EXPECT_EQ(c->state(), Communicator::State::kReady);
}

TEST_F(Communicators, that_NCCL_refuses_at_once_tell_what_it_said) {
  nccl_.answers = {kSystemError};
  nccl_.last_error = "no route to 10.0.0.1";
  const auto joined = Communicator::join(nccl_.library, {}, {0, 2}, {});
  ASSERT_FALSE(joined.ok());
  EXPECT_THAT(joined.error().what, HasSubstr("joining failed on rank 0 of 2"));
  EXPECT_THAT(joined.error().what, HasSubstr("no route to 10.0.0.1"));
  EXPECT_THAT(nccl_.alive, IsEmpty());
}

TEST_F(Communicators, that_fail_while_the_others_are_awaited_are_aborted) {
  nccl_.answers = {kInProgress};
  auto c = join();
  progress(kRemoteError);
  EXPECT_EQ(c->poll(), Communicator::State::kFailed);
  EXPECT_EQ(c->error().code, base::Code::kLost);
  EXPECT_THAT(nccl_.calls, ElementsAre("abort"));
  EXPECT_EQ(c->shrink({0}).error().code, base::Code::kUnavailable);
}

TEST_F(Communicators, that_fail_in_an_operation_revoke_it_and_begin_nothing_more) {
  auto c = join();
  nccl_.answers = {kInProgress};
  sum(*c);
  sum(*c);
  nccl_.calls.clear();
  progress(kRemoteError);
  EXPECT_EQ(c->poll(), Communicator::State::kFailed);
  EXPECT_THAT(c->error().what, HasSubstr("an operation failed on rank 1 of 4: NCCL says \"remote error\""));
  EXPECT_THAT(nccl_.calls, ElementsAre("revoke"));
  const auto refused = c->allreduce(buffer_, buffer_, 1, DataType::kFloat32, ReduceOp::kSum, nullptr);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().what, c->error().what);
  EXPECT_EQ(c->poll(), Communicator::State::kFailed);
}

TEST_F(Communicators, go_on_without_the_dead_in_the_same_order) {
  auto c = join({2, 4});
  nccl_.answers = {kInProgress};
  sum(*c);
  c->fail({base::Code::kLost, "rank 0 has died"});
  EXPECT_EQ(c->error().what, "rank 0 has died");
  nccl_.answers = {kInProgress};
  nccl_.calls.clear();
  const Comm parent = comm();
  auto shrunk = c->shrink({0});
  ASSERT_TRUE(shrunk.ok());
  EXPECT_EQ((*shrunk)->place().rank, 1);
  EXPECT_EQ((*shrunk)->place().size, 3);
  EXPECT_EQ((*shrunk)->poll(), Communicator::State::kJoining);
  EXPECT_THAT(nccl_.calls, ElementsAre("shrink without 0, aborting"));
  nccl_.async_error[parent] = kSuccess;
  EXPECT_EQ((*shrunk)->poll(), Communicator::State::kReady);
  EXPECT_THAT(nccl_.calls, ElementsAre("shrink without 0, aborting", "abort")) << "the parent goes";
  sum(**shrunk, 5);
  EXPECT_EQ(nccl_.calls.back(), "allreduce 5 of type 7 by 0");
  shrunk->reset();
  c.reset();
  EXPECT_THAT(nccl_.alive, IsEmpty());
}

TEST_F(Communicators, of_an_NCCL_that_cannot_shrink_are_aborted_at_once) {
  nccl_.library.comm_shrink = nullptr;
  nccl_.library.comm_revoke = nullptr;
  nccl_.library.version = 21800;
  auto c = join();
  c->fail({base::Code::kLost, "rank 0 has died"});
  EXPECT_THAT(nccl_.calls, ElementsAre("abort"));
  const auto shrunk = c->shrink({0});
  ASSERT_FALSE(shrunk.ok());
  EXPECT_THAT(shrunk.error().what, HasSubstr("join anew with another id"));
}

TEST_F(Communicators, are_not_shrunk_without_need_or_without_themselves) {
  auto c = join({1, 4});
  EXPECT_EQ(c->shrink({0}).error().code, base::Code::kInvalid);
  c->fail({base::Code::kLost, "rank 0 has died"});
  EXPECT_EQ(c->shrink({1}).error().code, base::Code::kInvalid);
}

TEST_F(Communicators, leave_in_order) {
  auto c = join();
  EXPECT_TRUE(c->add_buffer(buffer_, sizeof buffer_).ok());
  EXPECT_TRUE(c->add_buffer(buffer_, sizeof buffer_).ok());
  nccl_.answers = {kSuccess, kInProgress};  // Deregistering, leaving.
  c->finish();
  EXPECT_EQ(c->poll(), Communicator::State::kLeaving);
  EXPECT_FALSE(c->allreduce(buffer_, buffer_, 1, DataType::kFloat32, ReduceOp::kSum, nullptr).ok());
  progress();
  EXPECT_EQ(c->poll(), Communicator::State::kGone);
  EXPECT_THAT(nccl_.calls, ElementsAre("register 256", "deregister", "finalize", "destroy"));
  c.reset();
  EXPECT_EQ(nccl_.calls.back(), "destroy") << "not aborted besides";
}

TEST_F(Communicators, that_are_dropped_are_aborted) {
  auto c = join();
  c.reset();
  EXPECT_THAT(nccl_.calls, ElementsAre("abort"));
}

}  // namespace
}  // namespace mobula::collective::nccl
