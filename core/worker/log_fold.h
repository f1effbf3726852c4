#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "core/base/machine.h"
#include "core/base/proto/control.pb.h"

namespace mobula::runtime {

// A line for the driver's terminal, and how many more like it other workers wrote: 0 or 1 for a line as it came.
struct FoldedLine {
  proto::LogLine line;
  std::uint32_t across = 0;
};

// Folds lines that many workers write at once.  The first of a text is shown as it comes; when another worker writes
// the same within kWindow, that and what follows is counted and shown, with the count, when the window has passed. What
// one worker alone repeats is folded where it is read (core/raylet/log_capture.h), and passes.
//
// A machine without I/O: lines in, lines out; the caller asks again at next_deadline() and flushes at the end, so that
// every line is shown or counted.
class LogFold {
 public:
  static constexpr auto kWindow = std::chrono::seconds(3);
  static constexpr std::size_t kTextsMax = 256;  // Remembered at a time; beyond it the oldest window ends early.

  void add(base::Time now, proto::LogLine line, base::Outbox<FoldedLine>& out);
  void tick(base::Time now, base::Outbox<FoldedLine>& out);
  void flush(base::Outbox<FoldedLine>& out);
  std::optional<base::Time> next_deadline() const;  // Of a window with something to show.

  std::size_t size() const { return texts_.size(); }

 private:
  using Text = std::pair<bool, std::string>;  // Standard error or output.
  struct Window {
    std::string source;  // Who wrote the first.
    proto::LogLine last;
    std::uint32_t count = 0;
    base::Time until{};
  };
  void end_oldest(base::Outbox<FoldedLine>& out);

  std::map<Text, Window> texts_;
  std::deque<std::map<Text, Window>::iterator> order_;  // Oldest first.
};

}  // namespace mobula::runtime
