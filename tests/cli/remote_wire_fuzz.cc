// What comes over ssh's pipes between `mobula run --hosts` and its tasks.  The first byte says in how large pieces.

#include <algorithm>

#include "core/cli/remote_wire.h"
#include "tests/fuzz/input.h"

using namespace mobula;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::size_t piece = 1 + input.byte();
  cli::FrameReader reader;
  std::size_t given = 0, taken = 0;
  while (!input.empty() && !reader.is_bad()) {
    const std::string_view part = base::as_string_view(input.take(piece));
    given += part.size();
    reader.append(part);
    while (const auto frame = reader.next()) {
      fuzz::require(frame->bytes.size() <= cli::FrameReader::kFrameBytesMax);
      taken += 5 + frame->bytes.size();
      const auto start = cli::decode_remote_start(frame->bytes);
      if (!start) continue;
      fuzz::require(!start->argv.empty() && start->rank < start->size && cli::encode(*start) == frame->bytes);
    }
  }
  fuzz::require(taken <= given);
  return 0;
}
