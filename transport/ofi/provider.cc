#include "transport/ofi/provider.h"

#include <rdma/fi_errno.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "core/os/random.h"
#include "transport/ofi/library.h"

namespace mobula::transport {
namespace ofi {
namespace {

constexpr std::uint32_t kApi = FI_VERSION(1, 17);
constexpr int kKeyAttempts = 8;
constexpr std::size_t kSendsMax = 128;
constexpr std::size_t kReceivesMax = 512;

// The order of preference; others only when they are named.
const std::vector<std::string>& known_providers() {
  static const std::vector<std::string> known = {"cxi", "efa", "verbs;ofi_rxm", "tcp;ofi_rxm"};
  return known;
}

bool speaks_ip(const std::string& provider) {
  return provider.starts_with("tcp") || provider.starts_with("verbs") || provider.starts_with("sockets");
}

// What we can do, for the provider to choose from.
fi_info* hints_for(const Library& library, const std::string& provider, const std::string& domain) {
  fi_info* hints = library.dupinfo(nullptr);
  if (hints == nullptr) return nullptr;
  hints->caps = FI_MSG | FI_RMA;
  hints->mode = FI_CONTEXT | FI_CONTEXT2;
  hints->ep_attr->type = FI_EP_RDM;
  hints->domain_attr->threading = FI_THREAD_DOMAIN;
  hints->domain_attr->data_progress = FI_PROGRESS_UNSPEC;
  hints->domain_attr->resource_mgmt = FI_RM_ENABLED;
  hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_PROV_KEY | FI_MR_ALLOCATED | FI_MR_ENDPOINT;
  // With addresses of virtual memory, shm reads the peer's process itself and looks at no key.
  if (provider != "shm") hints->domain_attr->mr_mode |= FI_MR_VIRT_ADDR;
  hints->tx_attr->msg_order = FI_ORDER_NONE;
  hints->rx_attr->msg_order = FI_ORDER_NONE;
  // Our writes are done when the bytes are where they belong.
  hints->tx_attr->op_flags = FI_DELIVERY_COMPLETE;
  hints->fabric_attr->prov_name = ::strdup(provider.c_str());
  if (!domain.empty()) hints->domain_attr->name = ::strdup(domain.c_str());
  return hints;
}

Result<fi_info*> ask(const Library& library, const OfiOptions& options, const std::string& provider,
                     const std::string& source, std::uint64_t* write_flags) {
  fi_info* hints = hints_for(library, provider, options.domain);
  if (hints == nullptr) return base::Error{base::Code::kExhausted, "no memory for libfabric's hints"};
  fi_info* info = nullptr;
  const char* node = source.empty() ? nullptr : source.c_str();
  int failed = library.getinfo(kApi, node, nullptr, node == nullptr ? 0 : FI_SOURCE, hints, &info);
  if (failed != 0) {  // Some cannot say more than that the network has the bytes.
    hints->tx_attr->op_flags = 0;
    failed = library.getinfo(kApi, node, nullptr, node == nullptr ? 0 : FI_SOURCE, hints, &info);
  }
  library.freeinfo(hints);
  if (failed != 0) return error_of("looking for the provider " + provider, failed);
  fi_info* first = library.dupinfo(info);
  library.freeinfo(info);
  if (first == nullptr) return base::Error{base::Code::kExhausted, "no memory for libfabric's answer"};
  first->mode &= FI_CONTEXT | FI_CONTEXT2;  // What it offers beyond, we do not use.
  // Messages need no more than their memory back.
  *write_flags = std::exchange(first->tx_attr->op_flags, 0) & FI_DELIVERY_COMPLETE;
  // Rooms that a provider fills with memory when an endpoint opens: rxm's 2048 come to 70 MB.
  first->tx_attr->size = std::min(first->tx_attr->size, kSendsMax);
  first->rx_attr->size = std::min(first->rx_attr->size, kReceivesMax);
  return first;
}

}  // namespace

Result<std::shared_ptr<Provider>> Provider::open(const OfiOptions& options, const std::string& interface) {
  const auto library = Library::get();
  if (!library) return library.error();
  const std::vector<std::string> wanted =
      options.provider.empty() ? known_providers() : std::vector<std::string>{options.provider};
  base::Error failed;
  for (const std::string& provider : wanted) {
    const std::string source = options.source.empty() && speaks_ip(provider) ? interface : options.source;
    std::uint64_t write_flags = 0;
    auto info = ask(**library, options, provider, source, &write_flags);
    if (!info) {
      failed = info.error();
      continue;
    }
    std::shared_ptr<Provider> out(new Provider(*info, write_flags));
    int error = (*library)->fabric(out->info_->fabric_attr, &out->fabric_, nullptr);
    if (error == 0) error = fi_domain(out->fabric_, out->info_, &out->domain_, nullptr);
    if (error == 0) return out;
    failed = error_of("opening the provider " + provider, error);
  }
  return base::Error{base::Code::kUnavailable, failed.what};
}

Provider::~Provider() {
  if (domain_ != nullptr) fi_close(&domain_->fid);
  if (fabric_ != nullptr) fi_close(&fabric_->fid);
  (*Library::get())->freeinfo(info_);
}

Result<Registration> Registration::make(std::shared_ptr<Provider> provider, const Options& options) {
  Registration out;
  const fi_domain_attr& domain = *provider->info()->domain_attr;
  int failed = 0;
  for (int attempt = 0; attempt < kKeyAttempts; ++attempt) {
    // Where keys are ours to choose they are random, so that none can be made up.
    std::uint64_t key = 0;
    if (!provider->asks(FI_MR_PROV_KEY)) {
      os::fill_random(&key, sizeof key);
      if (domain.mr_key_size < sizeof key) key &= (std::uint64_t{1} << (8 * domain.mr_key_size)) - 1;
    }
    failed = fi_mr_reg(provider->domain(), options.memory.data(), options.memory.size(), options.access, 0, key, 0,
                       &out.mr_, nullptr);
    if (failed != -FI_ENOKEY) break;
  }
  if (failed != 0) out.mr_ = nullptr;
  if (failed == 0 && provider->asks(FI_MR_ENDPOINT)) {
    failed = fi_mr_bind(out.mr_, &options.endpoint->fid, 0);
    if (failed == 0) failed = fi_mr_enable(out.mr_);
  }
  out.provider_ = std::move(provider);
  if (failed == 0) return out;
  return base::Error{base::Code::kExhausted, error_of("registering " + std::to_string(options.memory.size()) +
                                                          " bytes with libfabric (is the memlock limit too low?)",
                                                      failed)
                                                 .what};
}

Registration::Registration(Registration&& other) noexcept
    : provider_(std::move(other.provider_)), mr_(std::exchange(other.mr_, nullptr)) {}

Registration& Registration::operator=(Registration&& other) noexcept {
  std::swap(provider_, other.provider_);
  std::swap(mr_, other.mr_);
  return *this;
}

Registration::~Registration() {
  if (mr_ != nullptr) fi_close(&mr_->fid);
}

}  // namespace ofi

OfiOptions ofi_options_from_environment() {
  OfiOptions options;
  if (const char* provider = std::getenv("MOBULA_OFI_PROVIDER"); provider != nullptr) options.provider = provider;
  if (const char* domain = std::getenv("MOBULA_OFI_DOMAIN"); domain != nullptr) options.domain = domain;
  return options;
}

}  // namespace mobula::transport
