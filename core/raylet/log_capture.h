#pragma once

#include <sys/types.h>

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/base/result.h"
#include "core/os/event_loop.h"
#include "core/os/fd.h"

namespace mobula::raylet {

// What the workers of this node write.
//
// Each has a pipe for its standard output and one for its errors, which are read as soon as there is something, so that
// no worker waits for whoever reads its lines.  All bytes go to files (DIRECTORY/worker-ID-PID.out and .err); whole
// lines go to the sink in batches, a line that repeats the one before it as a count.
class LogCapture {
 public:
  static constexpr std::size_t kLineBytesMax = 16 * 1024;  // Longer ones are cut into several.
  static constexpr std::size_t kLastLines = 20;            // Kept of each worker, for the report of its death.
  static constexpr std::size_t kRememberedMax = 4096;      // Workers whose files are told apart after their end.

  using Sink = std::function<void(const base::JobId& job, const proto::LogLines& lines)>;
  LogCapture(os::EventLoop& loop, std::string directory, std::string node, Sink sink);
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  struct Output {  // The worker's ends.
    os::Fd out;
    os::Fd err;
  };
  base::Result<Output> open(const base::WorkerId& worker, const base::JobId& job);
  void set_pid(const base::WorkerId& worker, pid_t pid);
  void set_name(const base::WorkerId& worker, std::string name);  // "worker" until then.

  // The worker has ended: takes what is left in its pipes, hands over every line, and forgets it.  Returns its last
  // lines.
  std::vector<std::string> close(const base::WorkerId& worker);
  void flush(const base::JobId& job);  // Hands over what waits for the next batch.
  // Fills in whose output a file of the directory is, as far as it is remembered.
  void describe(proto::LogFile& file) const;

 private:
  struct Stream {
    os::Fd pipe;
    os::EventLoop::Id watch = 0;
    os::Fd file;
    std::string partial;
    std::string last;  // The newest line of the pending batch...
    int last_at = -1;  // ...and its place there.
  };
  struct Worker {
    base::JobId job;
    std::string name = "worker";
    pid_t pid = 0;
    std::array<Stream, 2> streams;
    std::deque<std::string> tail;
    std::string file;  // Of both streams, but for the ending; empty until it was opened.
  };
  struct Batch {
    proto::LogLines lines;
    std::size_t bytes = 0;
    os::EventLoop::Id timer = 0;
  };

  bool read_some(const base::WorkerId& id, Worker& worker, std::size_t which);
  void stop(Stream& stream);
  void append(Worker& worker, std::size_t which, std::string_view bytes);
  void line(Worker& worker, std::size_t which, std::string_view text);
  void remember(const Worker& worker);
  void write_file(const base::WorkerId& id, Worker& worker, std::size_t which, std::string_view bytes);

  os::EventLoop& loop_;
  const std::string directory_;
  const std::string node_;
  const Sink sink_;
  std::map<base::WorkerId, Worker> workers_;
  std::map<base::JobId, Batch> batches_;
  struct Remembered {
    base::JobId job;
    std::string name;
    pid_t pid = 0;
  };
  std::map<std::string, Remembered> remembered_;  // By file.
  std::deque<std::string> remembered_order_;
};

}  // namespace mobula::raylet
