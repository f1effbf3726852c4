#pragma once

#include <memory>
#include <string>

#include <ucp/api/ucp.h>

#include "transport/transport.h"
#include "transport/ucx/ucx.h"

namespace mobula::transport::ucx {

base::Error error_of(const std::string& what, ucs_status_t status);

// UCX's context: its configuration, devices and registered memory.  Shared by a worker and its regions, so
// that a region may outlive the worker.
class Context {
 public:
  static Result<std::shared_ptr<Context>> open(const UcxOptions& options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  ucp_context_h get() const { return context_; }
  // Whether reads and writes are the network's work.  Otherwise they are the transport's, by messages.
  bool one_sided() const { return one_sided_; }

 private:
  Context(ucp_context_h context, bool one_sided) : context_(context), one_sided_(one_sided) {}
  ucp_context_h context_;
  bool one_sided_;
};

}  // namespace mobula::transport::ucx
