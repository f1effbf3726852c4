#pragma once

#include <functional>
#include <string>

#include "core/base/proto/control.pb.h"
#include "core/base/result.h"

namespace mobula::raylet {

// The logs of a node's session, as others may read them: plain files of one directory, a piece at a time.
class LogFiles {
 public:
  static constexpr std::uint32_t kPieceBytesMax = 256 * 1024;
  static constexpr std::uint64_t kTailBytesMax = 16u << 20;  // As far back as lines are counted.
  static constexpr int kFilesMax = 10'000;                   // The newest of a directory that has more.

  // `describe` fills in whose a worker's file is, as far as it is known.
  using Describe = std::function<void(proto::LogFile&)>;
  LogFiles(std::string directory, Describe describe)
      : directory_(std::move(directory)), describe_(std::move(describe)) {}

  // kInvalid for a name that is not one of a log here: with a slash, hidden, a link, not a file; kNotFound.
  base::Result<proto::LogPiece> answer(const proto::LogQuery& query) const;

 private:
  proto::LogPiece list() const;

  const std::string directory_;
  const Describe describe_;
};

}  // namespace mobula::raylet
