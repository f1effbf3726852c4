#include "core/cluster/settings_load.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <utility>

// Without exceptions: a file that does not parse is an error like any other.
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "core/cluster/node_address.h"
#include "core/os/process.h"

namespace mobula::cluster {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Settings;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string find_file() {
  if (const std::string named = variable("MOBULA_CONFIG"); !named.empty()) return named;
  std::error_code ignored;
  if (std::filesystem::exists("mobula.toml", ignored)) return "mobula.toml";
  const std::string home = variable("HOME") + "/.config/mobula/mobula.toml";
  return std::filesystem::exists(home, ignored) ? home : "";
}

std::string text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* flag = node.as_boolean()) return flag->get() ? "1" : "0";
  std::ostringstream out;
  if (const auto* whole = node.as_integer()) out << whole->get();
  if (const auto* number = node.as_floating_point()) out << number->get();
  return out.str();
}

Result<void> take_file(const std::string& path, Settings& settings) {
  const toml::parse_result parsed = toml::parse_file(path);
  if (!parsed) {
    const auto& error = parsed.error();
    return Error{Code::kInvalid,
                 path + ":" + std::to_string(error.source().begin.line) + ": " + std::string(error.description())};
  }
  for (const auto& [key, node] : parsed.table()) {
    const std::string where = path + ":" + std::to_string(node.source().begin.line);
    if (!node.is_value()) return Error{Code::kInvalid, where + ": " + std::string(key.str()) + " is not one value"};
    const auto taken = settings.set(std::string(key.str()), text_of(node), base::SettingSource::kFile, where);
    if (!taken) return taken;
  }
  return {};
}

// What the node's processes are told when they register.
std::map<std::string, std::string> passed_on(const Settings& settings) {
  std::map<std::string, std::string> out;
  for (const char* key : {"node_link", "log_to_driver", "fold_logs", "interface", "topology", "topology_file", "bind",
                          "max_lineage_bytes", "memory_monitor"})
    out[key] = settings.text(key);
  return out;
}

Result<base::Resources> node_resources(const Settings& settings) {
  base::Resources out = host_resources();
  for (const auto& [name, key] : {std::pair("cpus", "cpus_per_node"), std::pair("gpus", "gpus_per_node")}) {
    if (settings.is_auto(key)) continue;
    const auto amount = settings.number(key);
    if (!amount) return amount.error();
    out.set(name, base::Amount::of(*amount));
  }
  const auto more = parse_resources(settings.text("resources"));
  if (!more) return Error{Code::kInvalid, "resources: " + more.error().what};
  for (const auto& [name, amount] : more->all()) out.set(name, amount);
  return out;
}

}  // namespace

Result<Settings> load_settings(Settings settings) {
  if (const std::string path = find_file(); !path.empty()) {
    const auto taken = take_file(path, settings);
    if (!taken) return taken.error();
  }
  if (const auto taken = settings.take_environment(os::environment()); !taken) return taken.error();
  if (const auto checked = settings.check(); !checked) return checked.error();
  const auto refuse = [&](const char* key, const std::string& why) {
    return Error{Code::kInvalid, std::string(key) + " (" + settings.at(key).where + "): " + why};
  };
  if (const auto parsed = parse_resources(settings.text("resources")); !parsed)
    return refuse("resources", parsed.error().what);
  if (const auto parsed = parse_labels(settings.text("labels")); !parsed) return refuse("labels", parsed.error().what);
  return settings;
}

Result<GcsOptions> gcs_options(const Settings& settings) {
  GcsOptions out;
  const auto refresh = settings.number("end_time_refresh_s");
  if (!refresh) return refresh.error();
  out.end_refresh_ms = std::max<std::int64_t>(100, static_cast<std::int64_t>(*refresh * 1000));
  if (settings.is_auto("end_time")) return out;
  const auto end = settings.number("end_time");
  if (!end) return end.error();
  out.end_unix_ms = static_cast<std::int64_t>(*end * 1000);
  return out;
}

Result<RayletOptions> raylet_options(const Settings& settings) {
  RayletOptions out;
  auto resources = node_resources(settings);
  if (!resources) return resources.error();
  out.resources = std::move(*resources);
  auto labels = parse_labels(settings.text("labels"));
  if (!labels) return Error{Code::kInvalid, "labels: " + labels.error().what};
  out.labels = std::move(*labels);
  auto interface = interface_address(settings.text("interface"));
  if (!interface) return interface.error();
  out.settings = passed_on(settings);
  out.settings["interface"] = *interface;
  out.tcp_interface = std::move(*interface);
  if (!settings.is_auto("store_bytes")) {
    const auto bytes = settings.bytes("store_bytes");
    if (!bytes) return bytes.error();
    out.store_bytes = *bytes;
  }
  const auto workers_max = settings.number("workers_max");
  const auto idle = settings.number("idle_timeout_ms");
  if (!workers_max) return workers_max.error();
  if (!idle) return idle.error();
  out.workers_max = static_cast<std::uint32_t>(std::max(1.0, *workers_max));
  out.idle_timeout_ms = static_cast<std::int64_t>(*idle);
  if (!settings.is_auto("prestart")) {
    const auto prestart = settings.number("prestart");
    if (!prestart) return prestart.error();
    out.prestart = static_cast<std::uint32_t>(*prestart);
  }
  return out;
}

Result<EmbeddedOptions> embedded_options(const Settings& settings) {
  auto node = raylet_options(settings);
  if (!node) return node.error();
  const auto nodes = settings.number("nodes");
  if (!nodes) return nodes.error();
  if (*nodes < 1 || *nodes != std::floor(*nodes)) {
    return Error{Code::kInvalid, "nodes = " + settings.text("nodes") + " (" + settings.at("nodes").where +
                                     ") is not a number of nodes"};
  }
  auto gcs = gcs_options(settings);
  if (!gcs) return gcs.error();
  EmbeddedOptions out;
  out.gcs = std::move(*gcs);
  out.nodes = static_cast<unsigned>(*nodes);
  out.resources = std::move(node->resources);
  out.labels = std::move(node->labels);
  out.settings = std::move(node->settings);
  out.store_bytes = node->store_bytes;
  out.workers_max = node->workers_max;
  out.prestart = node->prestart;
  out.idle_timeout_ms = node->idle_timeout_ms;
  return out;
}

}  // namespace mobula::cluster
