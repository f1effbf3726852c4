#pragma once

#include <cstddef>
#include <string>

#include "core/base/bytes.h"
#include "core/base/machine.h"
#include "core/base/result.h"
#include "core/os/fd.h"

// Messages on a stream socket before there is an event loop: u32 length, bytes.  Each call blocks until it is done or
// its deadline.
namespace mobula::slurm {

inline constexpr std::size_t kFrameBytesMax = 16 * 1024;

base::Result<void> send_framed(const os::Fd& socket, base::ConstBytes bytes, base::Time deadline);
// kInvalid for a length above kFrameBytesMax, kLost when the peer closes before the end.
base::Result<std::string> receive_framed(const os::Fd& socket, base::Time deadline);

// Waits until the descriptor has one of poll()'s `events`; kDeadline when it does not come.
base::Result<void> await(const os::Fd& fd, short events, base::Time deadline);

}  // namespace mobula::slurm
