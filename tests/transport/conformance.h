#pragma once

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/transport/backend.h"
#include "tests/transport/party.h"

namespace mobula::test {

// One test body for every backend: the parameter is a name in backends().
class Conformance : public ::testing::TestWithParam<std::string> {
 protected:
  Conformance() : backend_(find(GetParam())), world_(std::make_unique<World>(backend_)) {}

  const Backend& backend() const { return backend_; }
  World& world() { return *world_; }

 private:
  static Backend find(const std::string& name) {
    for (const Backend& backend : backends().all) {
      if (backend.name == name) return backend;
    }
    ADD_FAILURE() << "no backend " << name;
    std::abort();
  }

  Backend backend_;
  std::unique_ptr<World> world_;
};

inline std::vector<std::string> backend_names() {
  std::vector<std::string> out;
  for (const Backend& backend : backends().all) out.push_back(backend.name);
  return out;
}
inline std::string name_of(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

// Those with a peer in another process; skipped where the backend knows no processes.
class ProcessConformance : public Conformance {
 protected:
  void SetUp() override {
    if (!backend().traits.processes) GTEST_SKIP() << "this backend lives in one process";
  }
};

}  // namespace mobula::test
