#pragma once

#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>

#include <cstdint>
#include <memory>
#include <string>

#include "transport/ofi/ofi.h"
#include "transport/transport.h"

namespace mobula::transport::ofi {

// One provider of libfabric, opened on one device.  Shared by a worker and its registered memory, so that a region may
// outlive the worker.
class Provider {
 public:
  static Result<std::shared_ptr<Provider>> open(const OfiOptions& options, const std::string& interface);
  ~Provider();
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

  // What the provider asks of us is in here: modes, sizes, keys of authorisation.  Endpoints are made from it.
  fi_info* info() const { return info_; }
  fid_fabric* fabric() const { return fabric_; }
  fid_domain* domain() const { return domain_; }
  std::string name() const { return info_->fabric_attr->prov_name; }

  // Given with each write: when it may be called done.
  std::uint64_t write_flags() const { return write_flags_; }

  // A peer of the same process takes its memory with it when it goes, and what is sent to it then is sent nowhere good.
  bool shares_memory() const { return name() == "shm"; }

  bool asks(int mr_mode) const { return (info_->domain_attr->mr_mode & mr_mode) != 0; }

 private:
  Provider(fi_info* info, std::uint64_t write_flags) : info_(info), write_flags_(write_flags) {}

  fi_info* info_;
  std::uint64_t write_flags_;
  fid_fabric* fabric_ = nullptr;
  fid_domain* domain_ = nullptr;
};

// Memory that the provider knows; empty when default-made.
class Registration {
 public:
  struct Options {
    Bytes memory;
    std::uint64_t access = 0;    // FI_REMOTE_READ, ...
    fid_ep* endpoint = nullptr;  // Of whoever uses it, for providers that bind memory to endpoints.
  };
  static Result<Registration> make(std::shared_ptr<Provider> provider, const Options& options);

  Registration() = default;
  Registration(Registration&& other) noexcept;
  Registration& operator=(Registration&& other) noexcept;
  ~Registration();

  bool empty() const { return mr_ == nullptr; }
  void* descriptor() const { return mr_ == nullptr ? nullptr : fi_mr_desc(mr_); }
  std::uint64_t key() const { return fi_mr_key(mr_); }  // REQUIRES: !empty()

 private:
  std::shared_ptr<Provider> provider_;
  fid_mr* mr_ = nullptr;
};

}  // namespace mobula::transport::ofi
