#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "core/base/result.h"
#include "core/os/event_loop.h"

namespace mobula::raylet {

// Reads the first `bytes` of a file a piece a turn of the loop, so that a large program on a slow file system does not
// stop the raylet, and hands over their os::Digest.  `fd` must stay open until `done` was called, or until `wanted` is
// gone: then the work stops without a word.
void digest_file(os::EventLoop& loop, int fd, std::uint64_t bytes, std::weak_ptr<void> wanted,
                 std::function<void(base::Result<std::string>)> done);

}  // namespace mobula::raylet
