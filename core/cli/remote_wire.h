#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/os/fd.h"

// What `mobula run --hosts` and the `mobula task` that it starts on each host say over ssh's pipes: frames of u8 kind,
// u32 length, bytes.
namespace mobula::cli {

enum class FrameKind : std::uint8_t {
  kStart = 1,  // To the task, first: Start.
  kPmi = 2,    // Both ways: a line of PMI.
  kOut = 3,    // From the task: what the program wrote.
  kErr = 4,
  kExit = 5,  // From the task, last: u8 exit code.
};
struct RemoteFrame {
  FrameKind kind;
  std::string bytes;
};

// What comes over one pipe.
class FrameReader {
 public:
  static constexpr std::size_t kFrameBytesMax = 4u << 20;
  void append(std::string_view bytes) { received_.append(bytes); }
  std::optional<RemoteFrame> next();
  bool is_bad() const { return bad_; }  // A length beyond the limit: nothing more will come.

 private:
  std::string received_;
  bool bad_ = false;
};

bool send_frame(int fd, FrameKind kind, std::string_view bytes);  // Blocks; false when the other end is gone.

// What a program is started with on a host.
struct RemoteStart {
  std::uint32_t rank = 0;
  std::uint32_t size = 0;
  std::string cwd;
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // MOBULA_* alone: the rest is the host's own.
};
std::string encode(const RemoteStart& start);
std::optional<RemoteStart> decode_remote_start(std::string_view bytes);

}  // namespace mobula::cli
