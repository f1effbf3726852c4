// The real NCCL, where there is one; it answers without a GPU too.
#include "collective/nccl/library.h"

#include <chrono>
#include <cstdlib>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "collective/nccl/communicator.h"

namespace mobula::collective::nccl {
namespace {

using ::testing::HasSubstr;

TEST(NcclLibrary, that_is_not_there_is_named_with_its_remedy) {
  const auto library = load("libnccl-that-nobody-has.so.2");
  ASSERT_FALSE(library.ok());
  EXPECT_EQ(library.error().code, base::Code::kUnavailable);
  EXPECT_THAT(library.error().what, HasSubstr("libnccl-that-nobody-has.so.2"));
  EXPECT_THAT(library.error().what, HasSubstr("MOBULA_NCCL"));
}

TEST(NcclLibrary, that_is_another_library_is_refused) {
  const auto library = load("libm.so.6");
  ASSERT_FALSE(library.ok());
  EXPECT_THAT(library.error().what, HasSubstr("of no known version"));
}

TEST(NcclLibrary, makes_ids_and_says_why_it_cannot_join) {
  const auto library = Library::get();
  if (!library) GTEST_SKIP() << "NOT TESTED: " << library.error().what;
  UniqueId id{};
  ASSERT_EQ((*library)->get_unique_id(&id), kSuccess);
  bool blank = true;
  for (const char c : id.internal) blank = blank && c == 0;
  EXPECT_FALSE(blank);
  if (std::getenv("CUDA_VISIBLE_DEVICES") == nullptr) ::setenv("CUDA_VISIBLE_DEVICES", "", 0);
  auto joined = Communicator::join(**library, id, {0, 1}, {});
  if (joined) {  // Tried in the background.
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while ((*joined)->poll() == Communicator::State::kJoining && std::chrono::steady_clock::now() < until)
      std::this_thread::yield();
    ASSERT_EQ((*joined)->state(), Communicator::State::kFailed);
  }
  const base::Error error = joined ? (*joined)->error() : joined.error();
  EXPECT_THAT(error.what, HasSubstr("joining failed on rank 0 of 1: NCCL says "));
  EXPECT_THAT(error.what, HasSubstr("NCCL_DEBUG=WARN"));
}

}  // namespace
}  // namespace mobula::collective::nccl
