#include "slurm/pmi_client.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <sstream>

#include "core/os/error.h"
#include "core/os/event_loop.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::size_t kLineBytesMax = 16 * 1024;

// Blocks until `events`; the descriptor may be blocking or not.
Result<void> ready(int fd, short events, base::Time deadline) {
  for (;;) {
    pollfd polled{fd, events, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - os::now()).count();
    const int n = ::poll(&polled, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000'000)));
    if (n > 0) return {};
    if (n == 0) return Error{Code::kDeadline, "the launcher's PMI does not answer in time"};
    if (errno != EINTR) return os::error_from_errno(errno, "PMI");
  }
}

}  // namespace

Result<void> PmiClient::begin(base::Time deadline) {
  const auto begun = ask("cmd=init pmi_version=1 pmi_subversion=1", "response_to_init", deadline);
  if (!begun) return begun.error();
  const auto maxes = ask("cmd=get_maxes", "maxes", deadline);
  if (!maxes) return maxes.error();
  if (const auto it = maxes->find("vallen_max"); it != maxes->end())
    value_bytes_max_ = std::strtoul(it->second.c_str(), nullptr, 10);
  const auto name = ask("cmd=get_my_kvsname", "my_kvsname", deadline);
  if (!name) return name.error();
  const auto it = name->find("kvsname");
  if (it == name->end() || value_bytes_max_ < 2)
    return Error{Code::kInvalid, "PMI names neither its store nor its limits"};
  kvs_ = it->second;
  return {};
}

Result<void> PmiClient::put(const std::string& key, const std::string& value, base::Time deadline) {
  const auto done = ask("cmd=put kvsname=" + kvs_ + " key=" + key + " value=" + value, "put_result", deadline);
  return done ? Result<void>() : done.error();
}

Result<std::string> PmiClient::get(const std::string& key, base::Time deadline) {
  const auto got = ask("cmd=get kvsname=" + kvs_ + " key=" + key, "get_result", deadline);
  if (!got) return got.error();
  const auto it = got->find("value");
  if (it == got->end()) return Error{Code::kNotFound, "PMI has no " + key};
  return it->second;
}

Result<void> PmiClient::barrier(base::Time deadline) {
  if (barrier_ == Barrier::kOutside) {
    const auto sent = send_line("cmd=barrier_in", deadline);
    if (!sent) return sent;
    barrier_ = Barrier::kInside;
  }
  while (barrier_ != Barrier::kOpen) {
    const auto fields = read_fields(deadline);
    if (!fields) return fields.error();
    if (barrier_ != Barrier::kOpen) return Error{Code::kUnavailable, "PMI answers its barrier with something else"};
  }
  barrier_ = Barrier::kOutside;
  return {};
}

Result<void> PmiClient::publish_name(const std::string& name, const std::string& value, base::Time deadline) {
  const auto done = ask("cmd=publish_name service=" + name + " port=" + value, "publish_result", deadline);
  if (!done) return done.error();
  const auto info = done->find("info");
  if (info != done->end() && info->second != "ok")
    return Error{Code::kUnavailable, "the launcher's PMI keeps no names"};
  return {};
}

Result<std::string> PmiClient::lookup_name(const std::string& name, base::Time deadline) {
  // What a launcher says of a name that is not there differs: info=fail, rc=1, rc=-1.
  const auto found = exchange("cmd=lookup_name service=" + name, deadline);
  if (!found) return found.error();
  const auto value = found->find("port");
  if (value == found->end()) return Error{Code::kNotFound, "PMI has no name " + name};
  return value->second;
}

Result<void> PmiClient::finalize(base::Time deadline) {
  const auto done = ask("cmd=finalize", "finalize_ack", deadline);
  return done ? Result<void>() : done.error();
}

Result<PmiClient::Fields> PmiClient::ask(const std::string& line, std::string_view answer, base::Time deadline) {
  auto fields = exchange(line, deadline);
  if (!fields) return fields;
  const auto rc = fields->find("rc");
  if ((*fields)["cmd"] == answer && (rc == fields->end() || rc->second == "0")) return fields;
  std::string said;
  for (const auto& [name, value] : *fields) said += (said.empty() ? "" : " ") + name + "=" + value;
  return Error{Code::kUnavailable,
               "PMI answers \"" + line.substr(0, line.find(' ')) + "\" with \"" + said.substr(0, 200) + "\""};
}

// Whatever is said next, but for the barrier's end.
Result<PmiClient::Fields> PmiClient::exchange(const std::string& line, base::Time deadline) {
  const auto sent = send_line(line, deadline);
  if (!sent) return sent.error();
  for (;;) {
    const Barrier before = barrier_;
    auto fields = read_fields(deadline);
    if (!fields || barrier_ == before) return fields;
  }
}

// Notes when the line opens the barrier that we are in.
Result<PmiClient::Fields> PmiClient::read_fields(base::Time deadline) {
  const auto text = read_line(deadline);
  if (!text) return text.error();
  Fields fields;
  std::stringstream stream(*text);
  for (std::string word; stream >> word;) {
    const std::size_t equals = word.find('=');
    if (equals != std::string::npos) fields[word.substr(0, equals)] = word.substr(equals + 1);
  }
  const auto rc = fields.find("rc");
  if (barrier_ == Barrier::kInside && fields["cmd"] == "barrier_out" && (rc == fields.end() || rc->second == "0"))
    barrier_ = Barrier::kOpen;
  return fields;
}

Result<void> PmiClient::send_line(const std::string& line, base::Time deadline) {
  const std::string out = line + "\n";
  for (std::size_t sent = 0; sent < out.size();) {
    const auto writable = ready(fd_, POLLOUT, deadline);
    if (!writable) return writable.error();
    const ssize_t n = ::write(fd_, out.data() + sent, out.size() - sent);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return os::error_from_errno(errno, "writing to PMI");
    if (n > 0) sent += static_cast<std::size_t>(n);
  }
  return {};
}

Result<std::string> PmiClient::read_line(base::Time deadline) {
  for (;;) {
    const std::size_t end = received_.find('\n');
    if (end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    if (received_.size() > kLineBytesMax) return Error{Code::kInvalid, "PMI sends a line without an end"};
    const auto readable = ready(fd_, POLLIN, deadline);
    if (!readable) return readable.error();
    std::array<char, 4096> buffer;
    const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
    if (n == 0) return Error{Code::kLost, "the launcher has closed PMI"};
    if (n < 0 && errno != EAGAIN && errno != EINTR) return os::error_from_errno(errno, "reading from PMI");
    if (n > 0) received_.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace mobula::slurm
