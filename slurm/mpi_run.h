#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/machine.h"
#include "core/base/result.h"
#include "core/os/fd.h"
#include "slurm/mpi_command.h"

namespace mobula::slurm {

// What a stream of an MPI program's output may take; of a longer one the end is kept.
inline constexpr std::size_t kMpiOutputBytesMax = 16 * 1024 * 1024;

// The kept end of a stream.
class KeptOutput {
 public:
  void add(const char* bytes, std::size_t size);
  std::string take() &&;  // After a line that says how much is missing, if something is.

 private:
  std::string text_;
  std::uint64_t dropped_ = 0;
};

// An MPI program that runs, seen by the process that has asked for it; it ends with this object, and with this process.
// Belongs to one thread.
class MpiRun {
 public:
  struct Options {
    std::string launcher_path;
    MpiCommand command;
    std::string directory;                // Where the ranks begin; empty: here.
    std::vector<std::string> keeper_env;  // Makes this program's binary call keep_mpi().
  };
  static base::Result<std::unique_ptr<MpiRun>> start(const Options& options);
  ~MpiRun();  // Ends it, and waits until it has.
  MpiRun(const MpiRun&) = delete;
  MpiRun& operator=(const MpiRun&) = delete;

  // Takes output until all has ended; false: not yet after this time.
  bool wait(base::Duration time);

  // REQUIRES: wait() has said true.
  int code() const { return code_; }  // The launcher's.
  std::string take_out() { return std::move(out_).take(); }
  std::string take_err() { return std::move(err_).take(); }

 private:
  MpiRun() = default;
  bool drain(os::Fd& from, KeptOutput& to);

  pid_t keeper_ = 0;
  os::Fd owner_;  // Its end is what the keeper waits for.
  os::Fd out_fd_, err_fd_;
  KeptOutput out_, err_;
  int code_ = 0;
};

}  // namespace mobula::slurm
