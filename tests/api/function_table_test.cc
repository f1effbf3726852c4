#include "core/worker/function_table.h"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/ids.h"
#include "mobula/mobula.h"

namespace table {

int free_function(int x) { return x; }
static int internal(int x) { return x; }
struct Class {
  explicit Class(int) {}
  int method(double) const { return 1; }
};
template <class T>
T generic(T v) {
  return v;
}

}  // namespace table

namespace mobula::runtime {
namespace {

void one(Invocation&) {}
void two(Invocation&) {}

template <auto F, class R, class... P>
const FunctionEntry* entry_of(R (*)(P...)) {
  return mobula::detail::TaskFunction<mobula::detail::FunctionTag<F>, F, mobula::detail::WholeResult, R, P...>::entry();
}
template <auto F>
const FunctionEntry* entry_of() {
  return entry_of<F>(F);
}

TEST(FunctionTable, NamesFunctionsForPeople) {
  EXPECT_EQ(function_name(*entry_of<&table::free_function>()), "table::free_function(int)");
  EXPECT_EQ(function_name(*entry_of<&table::internal>()), "table::internal(int)");
  EXPECT_NE(function_name(*entry_of<&table::generic<long>>()).find("table::generic<long>"), std::string::npos);
  using Call = mobula::detail::MethodCall<table::Class, &table::Class::method, int(double), mobula::detail::Whole>;
  EXPECT_EQ(function_name(*Call::Function::entry()), "table::Class::method(double) const");
  EXPECT_EQ(class_name(*mobula::detail::ConstructorFunction<table::Class, int>::entry()), "table::Class");
  EXPECT_EQ(function_name(*mobula::detail::ConstructorFunction<table::Class, int>::entry()),
            "table::Class::Class(int)");
}

TEST(FunctionTable, KnowsInternalLinkage) {
  EXPECT_FALSE(entry_of<&table::free_function>()->internal_linkage);
  EXPECT_TRUE(entry_of<&table::internal>()->internal_linkage);
}

TEST(FunctionTable, FindsWhatWasRegistered) {
  const FunctionEntry* entry = entry_of<&table::free_function>();
  EXPECT_EQ(find_function(entry->id), entry);
  EXPECT_EQ(find_function(entry->id + 1), nullptr);
}

TEST(FunctionTable, KeepsTheFirstOfTwoExternalCopies) {
  const FunctionEntry first{base::hash64("ext"), "ext", FunctionKind::kTask, false, &one};
  FunctionEntry second = first;
  second.invoke = &two;
  const FunctionEntry* kept = register_function(first);
  EXPECT_EQ(register_function(second), kept);
  EXPECT_EQ(kept->invoke, &one);
}

TEST(FunctionTableDeathTest, RefusesTwoInternalFunctionsOfOneName) {
  const FunctionEntry first{base::hash64("_ZL1fv"), "_ZL1fv", FunctionKind::kTask, true, &one};
  FunctionEntry second = first;
  second.invoke = &two;
  register_function(first);
  EXPECT_DEATH(register_function(second), "two functions are called f\\(\\).*\n.*\\+0x.*\n.*\\+0x");
}

TEST(FunctionTable, IsReadWhileItGrows) {
  std::vector<std::string> names;
  for (int i = 0; i < 5000; ++i) names.push_back("grown " + std::to_string(i));
  const FunctionEntry known{base::hash64("known"), "known", FunctionKind::kTask, false, &one};
  register_function(known);
  std::thread writer([&] {
    for (const std::string& n : names) {
      register_function({base::hash64(n), n.c_str(), FunctionKind::kTask, false, &one});
    }
  });
  for (int i = 0; i < 100'000; ++i) ASSERT_NE(find_function(known.id), nullptr);
  writer.join();
  for (const std::string& n : names) ASSERT_STREQ(find_function(base::hash64(n))->name, n.c_str());
}

}  // namespace
}  // namespace mobula::runtime
