#include "transport/ucx/context.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "core/os/log.h"

namespace mobula::transport {
namespace ucx {
namespace {

std::vector<std::string_view> split(std::string_view list) {
  std::vector<std::string_view> out;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    out.push_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return out;
}

bool any_of(std::string_view transports, std::initializer_list<std::string_view> prefixes) {
  for (const std::string_view name : split(transports)) {
    for (const std::string_view prefix : prefixes) {
      if (name.starts_with(prefix)) return true;
    }
  }
  return false;
}

// Reliable connections read and write memory by themselves.  UCX would emulate that for other transports by
// messages whose receiver reads and writes whatever address they name; ours check the region.
bool is_one_sided(std::string_view transports) { return any_of(transports, {"rc", "dc", "ib"}); }

// UCX complains of a setting that none of the transports in use has.
struct Setting {
  std::string name;
  std::string value;
  bool overrides = true;  // A site's own choice in the environment; else that one stays.
};

std::vector<Setting> settings_for(const UcxOptions& options) {
  std::vector<Setting> out = {
      {"TLS", options.transports},
      // Liveness is the channel's and the heartbeats' business; probes would only wake sleepers.
      {"KEEPALIVE_INTERVAL", "inf"},
  };
  if (!options.net_devices.empty()) out.push_back({"NET_DEVICES", options.net_devices});
  if (any_of(options.transports, {"posix", "sysv", "sm", "shm", "mm", "all"})) {
    // Without it an endpoint that reports failures would not use shared memory (and take tcp, were it there).
    out.push_back({"MM_ERROR_HANDLING", "y"});
    // A process costs 0.4 ms and 0.5 MiB with these instead of 3.3 ms and 6 MiB.
    out.push_back({"MM_SEG_SIZE", "2048", false});
    out.push_back({"MM_RX_BUFS_GROW", "64", false});
  }
  if (is_one_sided(options.transports)) {
    // With UCX's registration cache a region that is gone could still be read and written with its old key.
    // Without it, UCX does not patch the process's mmap and munmap either.
    out.push_back({"REG_METHODS", "direct"});
    out.push_back({"RC_TIMEOUT", std::to_string(options.rc_timeout.count()) + "ms", false});
    out.push_back({"RC_RETRY_COUNT", std::to_string(options.rc_retries), false});
    // UCX would pin 34 MB of receive buffers per device for rc and 16 MB for ud, in each of a node's processes.
    out.push_back({"RC_RX_QUEUE_LEN", "1024", false});
    out.push_back({"UD_RX_QUEUE_LEN", "512", false});
  }
  return out;
}

// Whether the environment has it, for all transports of a family (UCX_RC_TIMEOUT) or one (UCX_RC_VERBS_TIMEOUT).
bool site_has_chosen(const std::string& name) {
  const std::size_t end = name.find('_') + 1;
  const std::string family = name.substr(0, end);
  const std::string field = name.substr(end);
  std::vector<std::string> names = {"UCX_" + name};
  if (family == "RC_") names.insert(names.end(), {"UCX_RC_VERBS_" + field, "UCX_RC_MLX5_" + field});
  if (family == "UD_") names.insert(names.end(), {"UCX_UD_VERBS_" + field, "UCX_UD_MLX5_" + field});
  if (family == "MM_") names.insert(names.end(), {"UCX_POSIX_" + field, "UCX_SYSV_" + field});
  return std::any_of(names.begin(), names.end(), [](const auto& n) { return std::getenv(n.c_str()) != nullptr; });
}

struct Config {
  ucp_config_t* ucp = nullptr;
  ~Config() {
    if (ucp != nullptr) ucp_config_release(ucp);
  }
};

}  // namespace

base::Error error_of(const std::string& what, ucs_status_t status) {
  base::Code code = base::Code::kUnavailable;
  if (status == UCS_ERR_NO_MEMORY) code = base::Code::kExhausted;
  if (status == UCS_ERR_INVALID_PARAM || status == UCS_ERR_UNSUPPORTED) code = base::Code::kInvalid;
  return {code, what + ": UCX says \"" + ucs_status_string(status) + "\""};
}

Result<std::shared_ptr<Context>> Context::open(const UcxOptions& options) {
  if (is_one_sided(options.transports) && rdma_devices().empty()) {
    return base::Error{base::Code::kUnavailable,
                       "this machine has no RDMA device (/sys/class/infiniband) for " + options.transports};
  }
  Config config;
  ucs_status_t status = ucp_config_read(nullptr, nullptr, &config.ucp);
  if (status != UCS_OK) return error_of("reading UCX's configuration", status);
  for (const auto& [name, value, overrides] : settings_for(options)) {
    if (!overrides && site_has_chosen(name)) continue;
    status = ucp_config_modify(config.ucp, name.c_str(), value.c_str());
    if (status != UCS_OK) return error_of("setting UCX_" + name + "=" + value, status);
  }
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_NAME;
  params.features = UCP_FEATURE_AM | UCP_FEATURE_RMA | UCP_FEATURE_WAKEUP;
  params.name = "mobula";
  ucp_context_h context = nullptr;
  status = ucp_init(&params, config.ucp, &context);
  if (status != UCS_OK) return error_of("starting UCX with the transports " + options.transports, status);
  return std::shared_ptr<Context>(new Context(context, is_one_sided(options.transports)));
}

Context::~Context() { ucp_cleanup(context_); }

}  // namespace ucx

UcxOptions ucx_options_from_environment() {
  UcxOptions options;
  if (const char* transports = std::getenv("MOBULA_UCX_TLS"); transports != nullptr && *transports != '\0') {
    os::log(os::LogLevel::kWarn, "MOBULA_UCX_TLS={} replaces the transports {}: for tests, not for production",
            transports, options.transports);
    options.transports = transports;
  }
  if (const char* devices = std::getenv("MOBULA_UCX_NET_DEVICES"); devices != nullptr) options.net_devices = devices;
  return options;
}

std::vector<std::string> rdma_devices() {
  std::vector<std::string> names;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/infiniband", failed)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

}  // namespace mobula::transport
