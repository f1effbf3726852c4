#include "mobula/init.h"

#include <atomic>
#include <fstream>
#include <iterator>
#include <vector>

#include "core/api/runtime_access.h"
#include "mobula/errors.h"

namespace mobula {

namespace {

std::atomic<std::uint64_t> sessions{0};

// What main got, for those who call init() without it.  Lives as long as the process.
struct CommandLine {
  std::string bytes;
  std::vector<char*> argv;
  int argc = 0;
  char** data = nullptr;
};
CommandLine& command_line() {
  static auto* line = [] {
    auto* read = new CommandLine;
    std::ifstream in("/proc/self/cmdline", std::ios::binary);
    read->bytes.assign(std::istreambuf_iterator<char>(in), {});
    for (std::size_t at = 0; at < read->bytes.size(); at = read->bytes.find('\0', at) + 1) {
      read->argv.push_back(&read->bytes[at]);
    }
    read->argc = static_cast<int>(read->argv.size());
    read->argv.push_back(nullptr);
    read->data = read->argv.data();
    return read;
  }();
  return *line;
}

std::string hex_or_empty(const auto& id) { return id.is_nil() ? std::string() : id.short_hex(); }

}  // namespace

namespace detail {

InSession::InSession() {
  if (use_) return;
  switch (runtime::why_no_runtime()) {
    case runtime::NoRuntime::kNotYet:
      throw_invalid("this call needs a session, and there is none yet",
                    "make `auto session = mobula::init(argc, argv);` the first line of main");
    case runtime::NoRuntime::kNoMore:
      throw_invalid("this call came after the end of the session",
                    "keep what mobula::init() returns while Mobula is used, and join threads that use it before");
    case runtime::NoRuntime::kForked:
      throw_invalid("this process is a fork() of one with a session, and has none itself",
                    "use Mobula only in the process that called mobula::init(); a child may exec a program or _exit()");
  }
}

std::uint64_t session_number() { return sessions.load(std::memory_order_acquire); }
void begin_session() { sessions.fetch_add(1, std::memory_order_acq_rel); }

}  // namespace detail

Session::Session(std::unique_ptr<runtime::SessionImpl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;
std::uint32_t Session::rank() const { return impl_->rank(); }
std::uint32_t Session::size() const { return impl_->size(); }

Session init(int& argc, char**& argv, InitOptions options) {
  runtime::InitOptions own;
  own.nodes = options.nodes;
  own.all_ranks = options.ranks == Ranks::all;
  own.exec_workers = options.exec_workers;
  options.settings.for_each(
      [&](std::string_view name, std::string_view value) { own.settings[std::string(name)] = std::string(value); });
  detail::begin_session();  // Before: a worker runs tasks inside of init.
  auto started = runtime::init(argc, argv, own);
  if (!started) detail::throw_error(started.error());
  return Session(std::move(*started));
}

Session init(InitOptions options) {
  CommandLine& line = command_line();
  return init(line.argc, line.data, options);
}

Context context() {
  const detail::InSession session;
  const runtime::TaskContext c = session->context();
  return {hex_or_empty(c.job),
          hex_or_empty(c.task),
          hex_or_empty(c.actor),
          hex_or_empty(c.node),
          hex_or_empty(c.worker),
          c.ns,
          c.attempt,
          session->cancelled()};
}

std::optional<std::chrono::nanoseconds> time_left() { return detail::InSession()->time_left(); }

std::string cluster_status_json() {
  auto status = detail::InSession()->cluster_status_json();
  if (!status) detail::throw_error(status.error());
  return std::move(*status);
}

}  // namespace mobula
