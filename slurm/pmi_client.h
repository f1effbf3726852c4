#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "core/base/machine.h"
#include "core/base/result.h"

namespace mobula::slurm {

// The lines of PMI-1 over the descriptor that the launcher names (PMI_FD), as Hydra and srun's pmi2 speak them:
// "cmd=put kvsname=K key=A value=B", answered by "cmd=put_result rc=0".  The descriptor stays the launcher's.
class PmiClient {
 public:
  explicit PmiClient(int fd) : fd_(fd) {}

  base::Result<void> begin(base::Time deadline);
  const std::string& kvs() const { return kvs_; }  // Names this start.  REQUIRES: begin().
  std::size_t value_bytes_max() const { return value_bytes_max_; }

  // Others see it after the next barrier.  No blanks, no line ends.
  base::Result<void> put(const std::string& key, const std::string& value, base::Time deadline);
  base::Result<std::string> get(const std::string& key, base::Time deadline);
  // Of all tasks.  kDeadline when it has not opened by then: it may be waited for again.
  base::Result<void> barrier(base::Time deadline);
  // Names of the whole start, which others see at once, in the barrier too.  kUnavailable: this launcher keeps none.
  base::Result<void> publish_name(const std::string& name, const std::string& value, base::Time deadline);
  base::Result<std::string> lookup_name(const std::string& name, base::Time deadline);  // kNotFound.
  base::Result<void> finalize(base::Time deadline);

 private:
  using Fields = std::map<std::string, std::string, std::less<>>;
  base::Result<Fields> ask(const std::string& line, std::string_view answer, base::Time deadline);
  base::Result<Fields> exchange(const std::string& line, base::Time deadline);
  base::Result<Fields> read_fields(base::Time deadline);
  base::Result<std::string> read_line(base::Time deadline);
  base::Result<void> send_line(const std::string& line, base::Time deadline);

  const int fd_;
  std::string received_;
  std::string kvs_;
  std::size_t value_bytes_max_ = 0;
  enum class Barrier : std::uint8_t { kOutside, kInside, kOpen } barrier_ = Barrier::kOutside;
};

}  // namespace mobula::slurm
