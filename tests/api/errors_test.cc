#include "mobula/errors.h"

#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mobula {
namespace {

using base::ErrorInfo;
using ::testing::HasSubstr;

template <class F>
ErrorInfo captured(F&& thrower) {
  const detail::ThrowRecorder recorder;
  try {
    thrower();
  } catch (...) {
    return detail::capture_current_exception("user_function(int)");
  }
  return {};
}
}  // namespace
[[gnu::noinline]] void deep_thrower() { throw std::out_of_range("index 7"); }  // Its name is in the symbol table.
namespace {

struct NotStd {};
struct OwnError : std::domain_error {
  using std::domain_error::domain_error;
};

TEST(Errors, AStandardExceptionIsCaughtAsItselfAsTaskErrorAsErrorAndAsStd) {
  const ErrorInfo info = captured(deep_thrower);
  EXPECT_THROW(detail::throw_error(info), std::out_of_range);
  EXPECT_THROW(detail::throw_error(info), std::logic_error);
  EXPECT_THROW(detail::throw_error(info), std::exception);
  EXPECT_THROW(detail::throw_error(info), TaskError);
  EXPECT_THROW(detail::throw_error(info), Error);
  try {
    detail::throw_error(info);
  } catch (const TaskErrorOf<std::out_of_range>& e) {
    EXPECT_STREQ(e.what(), "index 7");
    EXPECT_STREQ(static_cast<const std::exception&>(e).what(), "index 7");
    EXPECT_STREQ(static_cast<const Error&>(e).what(), "index 7");
    EXPECT_EQ(e.function(), "user_function(int)");
    EXPECT_EQ(e.type(), "std::out_of_range");
  }
}

TEST(Errors, TheReportShowsWhereItWasThrown) {
  const ErrorInfo info = captured(deep_thrower);
  EXPECT_THAT(info.stack, ::testing::StartsWith("mobula::deep_thrower()\n"));
  EXPECT_THAT(Failure(std::make_shared<ErrorInfo>(info)).report(), HasSubstr("deep_thrower"));
}

TEST(Errors, EveryStandardTypeComesBackAsItself) {
  auto back = [](auto thrown) {
    using E = decltype(thrown);
    const ErrorInfo info = captured([&] { throw thrown; });
    EXPECT_THROW(detail::throw_error(info), TaskErrorOf<E>);
    EXPECT_EQ(info.what, thrown.what());
  };
  back(std::runtime_error("a"));
  back(std::range_error("a"));
  back(std::overflow_error("a"));
  back(std::underflow_error("a"));
  back(std::logic_error("a"));
  back(std::invalid_argument("a"));
  back(std::domain_error("a"));
  back(std::length_error("a"));
  back(std::out_of_range("a"));
  back(std::bad_alloc());
  back(std::bad_cast());
}

TEST(Errors, ASystemErrorKeepsItsCode) {
  const ErrorInfo info = captured([] { throw std::system_error(ENOENT, std::generic_category(), "open"); });
  try {
    detail::throw_error(info);
    FAIL();
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), std::errc::no_such_file_or_directory);
    EXPECT_EQ(std::string(e.what()), info.what);
  }
}

TEST(Errors, OwnTypesAreNamed) {
  const ErrorInfo own = captured([] { throw OwnError("mine"); });
  EXPECT_THAT(own.type, HasSubstr("OwnError"));
  EXPECT_THROW(detail::throw_error(own), std::domain_error);
  const ErrorInfo foreign = captured([] { throw NotStd{}; });
  EXPECT_THAT(foreign.what, HasSubstr("NotStd"));
  EXPECT_THROW(detail::throw_error(foreign), TaskErrorOf<std::runtime_error>);
  EXPECT_THAT(captured([] { throw 7; }).type, HasSubstr("int"));
}

TEST(Errors, NestedExceptionsAreTheCause) {
  const ErrorInfo info = captured([] {
    try {
      throw std::out_of_range("inner");
    } catch (...) {
      std::throw_with_nested(std::runtime_error("outer"));
    }
  });
  EXPECT_EQ(info.what, "outer");
  EXPECT_EQ(info.type, "std::runtime_error");
  EXPECT_THAT(info.cause, HasSubstr("std::out_of_range: inner"));
}

TEST(Errors, AnUncaughtErrorOfAnotherTaskKeepsItsKindAndGainsThePath) {
  ErrorInfo died;
  died.kind = ErrorKind::kWorkerDied;
  died.what = "the worker got signal 9";
  const ErrorInfo outer = captured([&] { detail::throw_error(died); });
  EXPECT_EQ(outer.kind, ErrorKind::kWorkerDied);
  EXPECT_EQ(outer.what, died.what);
  EXPECT_THAT(outer.cause, HasSubstr("user_function(int)"));
}

TEST(Errors, EachKindIsOneTypeWithOneStandardBase) {
  auto kind = [](ErrorKind k) {
    ErrorInfo info;
    info.kind = k;
    info.what = "w";
    return info;
  };
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kWorkerDied)), WorkerDied);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kActorDied)), ActorDied);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kActorUnavailable)), ActorUnavailable);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kNodeDied)), NodeDied);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kObjectLost)), ObjectLost);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kOwnerDied)), OwnerDied);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kOutOfMemory)), OutOfMemory);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kObjectStoreFull)), ObjectStoreFull);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kCancelled)), Cancelled);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kTimeout)), Timeout);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kUnschedulable)), Unschedulable);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kPendingCallsLimit)), PendingCallsLimit);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kCollective)), CollectiveError);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kInvalid)), InvalidArgument);
  EXPECT_THROW(detail::throw_error(kind(ErrorKind::kClusterDown)), ClusterDown);
  for (int k = 2; k <= 16; ++k) {
    EXPECT_THROW(detail::throw_error(kind(static_cast<ErrorKind>(k))), std::exception);
    EXPECT_THROW(detail::throw_error(kind(static_cast<ErrorKind>(k))), Error);
  }
}

TEST(Errors, TheReportTellsAll) {
  ErrorInfo info;
  info.kind = ErrorKind::kWorkerDied;
  info.what = "the worker got SIGSEGV";
  info.function = "f(int)";
  info.node = "box 12ab";
  info.pid = 42;
  info.attempt = 2;
  info.evidence = {"signal 11 (SIGSEGV)"};
  info.cause = "first\nsecond\n";
  info.remedy = "look at the log";
  const std::string report = Failure(std::make_shared<ErrorInfo>(info)).report();
  for (const char* part : {"WorkerDied: the worker got SIGSEGV", "f(int)", "box 12ab", "pid 42", "attempt 3",
                           "signal 11", "    second", "what to do: look at the log"}) {
    EXPECT_THAT(report, HasSubstr(part));
  }
}

TEST(Errors, TravelBetweenThreads) {
  std::promise<void> promise;
  try {
    detail::throw_error(captured(deep_thrower));
  } catch (...) {
    promise.set_exception(std::current_exception());
  }
  EXPECT_THROW(promise.get_future().get(), std::out_of_range);
}

TEST(Expected, HoldsAValueOrAFailure) {
  const Expected<int> good(5);
  EXPECT_EQ(*good, 5);
  auto info = std::make_shared<ErrorInfo>();
  info->kind = ErrorKind::kCancelled;
  info->what = "cancelled";
  const Expected<int> bad{Failure(info)};
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.value_or(3), 3);
  EXPECT_STREQ(bad.error().what(), "cancelled");
  EXPECT_THROW(static_cast<void>(bad.value()), Cancelled);
}

}  // namespace
}  // namespace mobula
