// bench_floor FAMILY: the machine's own side of the benchmark.
#include <cstdio>
#include <map>
#include <string>

#include "bench/sides/floor.h"
#ifdef MOBULA_BENCH_UCX
#include <ucp/api/ucp.h>
#endif

namespace {

std::string ucx_version() {
#ifdef MOBULA_BENCH_UCX
  return ::ucp_get_version_string();
#else
  return "";
#endif
}

}  // namespace

int main(int argc, char** argv) {
  using namespace mobula::bench;
  const std::map<std::string, void (*)(Side&)> families = {
      {"memory", add_memory_floors}, {"group", add_group_floors},
      {"tcp", add_tcp_floors},       {"process", add_process_floors},
#ifdef MOBULA_BENCH_UCX
      {"ucx", add_ucx_floors},
#endif
  };
  const auto family = families.find(argc > 1 ? argv[1] : "");
  if (family == families.end()) {
    std::fprintf(stderr, "usage: bench_floor memory|group|tcp|process|ucx\n");
    return 2;
  }
  Side side(family->first == "ucx" ? ucx_version() : "");
  family->second(side);
  side.serve();
  return 0;
}
