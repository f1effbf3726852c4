#pragma once

#include "core/base/metrics.h"
#include "core/base/result.h"
#include "core/os/fd.h"
#include "core/os/memory_file.h"

namespace mobula::runtime {

// What this process counts, in a page of shared memory that its raylet maps: reading disturbs nobody.  Written under
// the engine's lock.
class ProcessMetrics {
 public:
  // Without a page (no memory) everything counts into nothing.
  static ProcessMetrics create();

  base::Counter calls_sent;
  base::Counter calls_failed;    // Ended with an error, as their caller saw it.
  base::Counter calls_run;       // Received and run here.
  base::Counter calls_returned;  // Received and given back, since this worker waited.
  base::Counter borrows;
  base::Counter values_asked;  // Of other processes' objects.
  base::Counter pulls;
  base::Counter puts;
  base::Counter peers_lost;
  base::Counter calls_again;       // Run once more since their values were lost.
  base::Gauge lineage_bytes;       // Kept to run calls again.
  base::Counter lineage_let_go;    // Calls that cannot be run again, since there was more than max_lineage_bytes.
  base::Counter objects_hopeless;  // Lost for good.

  const os::Fd& file() const { return file_; }

 private:
  os::Fd file_;
  os::Mapping page_;
};

}  // namespace mobula::runtime
