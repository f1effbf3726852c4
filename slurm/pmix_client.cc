#include "slurm/pmix_client.h"

#include <dlfcn.h>
#include <pmix.h>

#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "core/os/event_loop.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr int kAskSeconds = 2;
constexpr auto kPause = std::chrono::milliseconds(2);

// Kept loaded: its threads and its plug-ins outlive any last use.
struct Library {
  decltype(&PMIx_Init) init = nullptr;
  decltype(&PMIx_Finalize) finalize = nullptr;
  decltype(&PMIx_Put) put = nullptr;
  decltype(&PMIx_Commit) commit = nullptr;
  decltype(&PMIx_Get) get = nullptr;
  decltype(&PMIx_Error_string) explain = nullptr;

  bool load() {
    void* const handle = ::dlopen("libpmix.so.2", RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    const auto find = [handle](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(handle, name));
      return function != nullptr;
    };
    return handle != nullptr && find(init, "PMIx_Init") && find(finalize, "PMIx_Finalize") && find(put, "PMIx_Put") &&
           find(commit, "PMIx_Commit") && find(get, "PMIx_Get") && find(explain, "PMIx_Error_string");
  }
};

pmix_proc_t process(const pmix_proc_t& self, pmix_rank_t rank) {
  pmix_proc_t out = self;
  out.rank = rank;
  return out;
}

std::uint32_t number_of(const pmix_value_t& value) {
  switch (value.type) {
    case PMIX_UINT16: return value.data.uint16;
    case PMIX_UINT32: return value.data.uint32;
    case PMIX_PROC_RANK: return value.data.rank;
    default: return 0;
  }
}

class LibraryClient final : public PmixClient {
 public:
  explicit LibraryClient(const Library& library) : library_(library) {}
  ~LibraryClient() override {
    if (joined_) (void)library_.finalize(nullptr, 0);
  }

  Result<void> join() {
    const pmix_status_t status = library_.init(&self_, nullptr, 0);
    if (status != PMIX_SUCCESS) return error("PMIx_Init", status);
    joined_ = true;
    return {};
  }

  Result<void> publish(const std::string& key, const std::string& value) override {
    std::string copy = value;  // Put() does not write, but takes it so.
    pmix_value_t out{};
    out.type = PMIX_STRING;
    out.data.string = copy.data();
    pmix_status_t status = library_.put(PMIX_GLOBAL, key.c_str(), &out);
    std::memset(copy.data(), 0, copy.size());
    if (status != PMIX_SUCCESS) return error("PMIx_Put", status);
    status = library_.commit();
    if (status != PMIX_SUCCESS) return error("PMIx_Commit", status);
    return {};
  }

  // No fence: the server of our node asks that of rank 0's.  Some answer at once that there is nothing yet.
  Result<std::string> fetch(const std::string& key, base::Time deadline) override {
    const pmix_proc_t rank_zero = process(self_, 0);
    pmix_info_t timeout{};
    std::strncpy(timeout.key, PMIX_TIMEOUT, PMIX_MAX_KEYLEN);
    timeout.value.type = PMIX_INT;
    timeout.value.data.integer = kAskSeconds;
    for (;;) {
      pmix_value_t* value = nullptr;
      const pmix_status_t status = library_.get(&rank_zero, key.c_str(), &timeout, 1, &value);
      if (status == PMIX_SUCCESS && value != nullptr && value->type == PMIX_STRING) {
        std::string out = value->data.string;
        std::memset(value->data.string, 0, out.size());
        std::free(value->data.string);
        std::free(value);
        return out;
      }
      if (status == PMIX_ERR_LOST_CONNECTION || status == PMIX_ERR_UNREACH) return error("PMIx_Get", status);
      if (os::now() + kPause >= deadline) {
        return Error{Code::kDeadline,
                     "rank 0 has published nothing in time through PMIx: " + std::string(library_.explain(status))};
      }
      std::this_thread::sleep_for(kPause);
    }
  }

  Result<Sizes> sizes() override {
    Sizes out;
    const auto whole = process(self_, PMIX_RANK_WILDCARD);
    for (const auto& [of, key, number] :
         {std::tuple(&whole, PMIX_JOB_SIZE, &out.size), std::tuple(&whole, PMIX_LOCAL_SIZE, &out.local_size),
          std::tuple(static_cast<const pmix_proc_t*>(&self_), PMIX_LOCAL_RANK, &out.local_rank)}) {
      pmix_value_t* value = nullptr;
      const pmix_status_t status = library_.get(of, key, nullptr, 0, &value);
      if (status != PMIX_SUCCESS || value == nullptr) return error(std::string("PMIx_Get of ") + key, status);
      *number = number_of(*value);
      std::free(value);
    }
    if (out.local_size == 0 || out.size < out.local_size) return Error{Code::kInvalid, "PMIx says no sizes"};
    return out;
  }

 private:
  Error error(const std::string& what, pmix_status_t status) const {
    return {Code::kUnavailable, what + ": " + library_.explain(status)};
  }

  const Library library_;
  pmix_proc_t self_{};
  bool joined_ = false;
};

}  // namespace

Result<std::unique_ptr<PmixClient>> open_pmix() {
  Library library;
  if (!library.load()) return Error{Code::kUnavailable, "PMIx's library (libpmix.so.2) is not on this host"};
  auto client = std::make_unique<LibraryClient>(library);
  const auto joined = client->join();
  if (!joined) return joined.error();
  return std::unique_ptr<PmixClient>(std::move(client));
}

}  // namespace mobula::slurm
