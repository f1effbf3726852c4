#include <cstdio>
#include <string>

#include <gtest/gtest.h>

#include "tests/transport/conformance.h"
#include "tests/transport/peer.h"

namespace mobula::test {
namespace {

INSTANTIATE_TEST_SUITE_P(Backends, Conformance, ::testing::ValuesIn(backend_names()), name_of);

}  // namespace
}  // namespace mobula::test

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--peer") return mobula::test::run_peer(argv[2], argv[3]);
  ::testing::InitGoogleTest(&argc, argv);
  if (const mobula::test::Backends known = mobula::test::backends(); known.all.empty()) {
    std::printf("skipped: %s\n", known.why_none.c_str());
    return 77;  // ctest's word for it.
  }
  return RUN_ALL_TESTS();
}
