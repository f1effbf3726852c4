#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/base/settings.h"

namespace mobula::runtime {

// Where a program's state outlives its processes: state_directory/KEY/run-N/NAME.
//
// KEY is the Slurm job's id, which a requeued job keeps, else the program's name.  N counts the runs of the key: under
// Slurm it is SLURM_RESTART_COUNT, elsewhere one more than the last run that has saved anything.  A file is a header
// (magic, version, length, checksum) and the bytes; it is there whole or not at all.
//
// A value: made by the driver from its settings, told to workers in their environment.
class SavedState final {
 public:
  SavedState() = default;  // Nowhere: nothing can be saved.
  // Resolves `state_directory` and `state_key`; nowhere when there is no directory.
  static SavedState from_settings(const base::Settings& settings, const std::vector<std::string>& environment,
                                  const std::string& program);
  static SavedState from_variable(std::string_view text);
  std::string to_variable() const;

  bool exists() const { return !directory_.empty(); }
  const std::string& directory() const { return directory_; }  // Of the key.
  unsigned run() const { return run_; }
  // An earlier run of the key has saved something.
  bool resumes() const;

  // Any thread.  kInvalid when there is nowhere to write.
  base::Result<void> write(std::string_view name, base::ConstBytes bytes) const;
  // The newest that is whole, of this run or an earlier one.  kNotFound; kLost when all that there are are damaged.
  base::Result<std::vector<std::byte>> read(std::string_view name) const;

 private:
  SavedState(std::string directory, unsigned run) : directory_(std::move(directory)), run_(run) {}
  std::string run_directory(unsigned run) const;

  std::string directory_;
  unsigned run_ = 0;
};

// A name as part of a path: what is not a letter, a digit, '-', '_' or '.' is written as %XX.
std::string file_name_of(std::string_view name);

}  // namespace mobula::runtime
