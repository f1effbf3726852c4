#include "slurm/pmi_server.h"

#include <utility>

namespace mobula::slurm {
namespace {

std::string_view field(std::string_view line, std::string_view name) {
  while (!line.empty()) {
    const std::size_t end = line.find(' ');
    const std::string_view word = line.substr(0, end);
    if (word.size() > name.size() && word.substr(0, name.size()) == name && word[name.size()] == '=')
      return word.substr(name.size() + 1);
    if (end == std::string_view::npos) break;
    line.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace

std::vector<PmiServer::Line> PmiServer::take(std::uint32_t task, std::string_view line) {
  const std::string_view command = field(line, "cmd");
  const auto reply = [task](std::string text) { return std::vector<Line>{{task, std::move(text)}}; };
  if (command == "init") return reply("cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0");
  if (command == "get_maxes") {
    return reply("cmd=maxes kvsname_max=64 keylen_max=" + std::to_string(kKeyBytesMax) +
                 " vallen_max=" + std::to_string(kValueBytesMax) + " rc=0");
  }
  if (command == "get_my_kvsname") return reply("cmd=my_kvsname kvsname=" + name_ + " rc=0");
  if (command == "get_appnum") return reply("cmd=appnum appnum=0 rc=0");
  if (command == "get_universe_size") return reply("cmd=universe_size size=" + std::to_string(tasks_) + " rc=0");
  if (command == "put") {
    const std::string_view key = field(line, "key");
    const std::string_view value = field(line, "value");
    if (values_.size() >= kValuesMax || key.size() >= kKeyBytesMax || value.size() >= kValueBytesMax)
      return reply("cmd=put_result rc=-1 msg=too_much");
    values_[std::string(key)] = value;
    return reply("cmd=put_result rc=0 msg=success");
  }
  if (command == "get") {
    const auto it = values_.find(field(line, "key"));
    if (it == values_.end()) return reply("cmd=get_result rc=-1 msg=unknown_key");
    return reply("cmd=get_result rc=0 msg=success value=" + it->second);
  }
  if (command == "publish_name") {
    const std::string_view name = field(line, "service");
    const std::string_view value = field(line, "port");
    const bool fits = names_.size() < kValuesMax && name.size() < kKeyBytesMax && value.size() < kValueBytesMax;
    if (fits) names_[std::string(name)] = value;
    return reply(std::string("cmd=publish_result rc=0 info=") + (fits ? "ok" : "fail"));
  }
  if (command == "lookup_name") {
    const auto it = names_.find(field(line, "service"));
    if (it == names_.end()) return reply("cmd=lookup_result rc=0 info=fail");
    return reply("cmd=lookup_result rc=0 info=ok port=" + it->second);
  }
  if (command == "barrier_in") {
    at_barrier_.push_back(task);
    if (at_barrier_.size() < tasks_) return {};
    std::vector<Line> out;
    for (const std::uint32_t one : std::exchange(at_barrier_, {})) out.push_back({one, "cmd=barrier_out rc=0"});
    return out;
  }
  if (command == "finalize") return reply("cmd=finalize_ack rc=0");
  return reply("cmd=unknown rc=-1");
}

}  // namespace mobula::slurm
