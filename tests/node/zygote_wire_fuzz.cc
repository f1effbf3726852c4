// What a zygote may report: it is the user's program, and a process group is killed by the number that it tells.

#include "core/raylet/zygote_wire.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mobula;
  const base::ConstBytes bytes = fuzz::Input(data, size).rest();
  if (const auto report = raylet::decode_report(bytes)) {
    using Kind = raylet::ZygoteReport::Kind;
    fuzz::require(base::as_string_view(base::object_bytes(*report)) == base::as_string_view(bytes));
    fuzz::require(report->kind >= Kind::kHello && report->kind <= Kind::kExited);
    // kill(-1) would end everything of the user's, kill(0) ourselves.
    if (report->kind != Kind::kForkFailed) fuzz::require(static_cast<pid_t>(report->pid) > 1);
  }
  if (const auto request = raylet::decode_request(bytes)) {
    using Kind = raylet::ZygoteRequest::Kind;
    fuzz::require(request->kind == Kind::kFork || (request->kind == Kind::kKill && request->pid > 1));
  }
  return 0;
}
