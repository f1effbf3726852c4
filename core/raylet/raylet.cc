#include "core/raylet/raylet.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "core/os/end_signals.h"
#include "core/os/event_loop.h"
#include "core/os/log.h"
#include "core/os/process.h"
#include "core/os/session.h"
#include "core/raylet/node.h"

namespace mobula::raylet {
namespace {

constexpr int kGcsStartMs = 10'000;

// The GCS holds the other end of the pipe until it listens.
bool wait_for_gcs(int listening_fd) {
  if (listening_fd < 0) return true;
  pollfd polled{listening_fd, POLLIN, 0};
  const int ready = ::poll(&polled, 1, kGcsStartMs);
  ::close(listening_fd);
  return ready > 0;
}

// Readers of the line are the process that started us: cluster/embedded.h.
void report(int fd, const std::string& line) {
  if (fd < 0) return;
  [[maybe_unused]] const auto n = ::write(fd, line.data(), line.size());
  ::close(fd);
}

// Whose directory the session's was.
bool owner_is_gone(int life_fd) {
  pollfd polled{life_fd, POLLIN, 0};
  return life_fd >= 0 && ::poll(&polled, 1, 0) > 0;
}

int refuse(const cluster::RayletOptions& options, const std::string& why) {
  os::log(os::LogLevel::kError, "{}", why);
  report(options.ready_fd, "error\t" + options.name + "\t" + why + "\n");
  return 2;
}

int serve(const cluster::RayletOptions& options, const os::Secret& secret) {
  os::set_process_name("mobula-raylet");
  os::start_log({.process = "raylet " + options.name, .file = ""});
  os::EndSignals signals(options.life_fd >= 0 ? os::EndSignals::Owner::kParent : os::EndSignals::Owner::kNobody);
  for (const int fd : {options.life_fd, options.ready_fd, options.gcs_listening_fd, options.spin_page_fd}) {
    if (fd >= 0) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  const auto session = os::SessionDirectory::open(options.session_directory);
  if (!session) return refuse(options, session.error().what);
  ::mkdir(session->file("logs").c_str(), 0700);

  int code = 0;
  {
    os::EventLoop loop;
    auto node = Node::create(loop, options, secret);
    if (!node) return refuse(options, node.error().what);
    if (!wait_for_gcs(options.gcs_listening_fd)) return refuse(options, "the GCS did not start");
    bool joined = false;
    std::string why_over;
    const auto over = [&](const std::string& why, int exit_code) {
      os::log(os::LogLevel::kInfo, "ending: {}", why);
      code = exit_code;
      why_over = why;
      // Outside the callback that brought the news: what called it is about to be destroyed.
      loop.post([&, why] { (*node)->end(why, [&loop] { loop.stop(); }); });
    };
    bool ending = false;
    const auto watch = loop.watch(signals.fd(), EPOLLIN, [&](std::uint32_t) {
      const auto number = signals.take();
      if (!number || std::exchange(ending, true)) return;
      over("the raylet was told to stop (signal " + std::to_string(*number) + ")", 0);
    });
    const auto started =
        (*node)->join({.ready =
                           [&] {
                             joined = true;
                             report(options.ready_fd, "ready\t" + options.name + "\t" + (*node)->address() + "\n");
                           },
                       .over =
                           [&](const std::string& why, int exit_code) {
                             if (!std::exchange(ending, true)) over(why, exit_code);
                           }});
    if (!started) return refuse(options, started.error().what);
    loop.run();
    loop.remove(watch);
    if (!joined) return refuse(options, why_over);
  }
  return code;
}

}  // namespace

int run_raylet(const cluster::RayletOptions& options, const os::Secret& secret) {
  const int code = serve(options, secret);
  // Also of one that never joined: its owner may have ended while it started.
  if (options.remove_session && owner_is_gone(options.life_fd)) os::remove_tree(options.session_directory);
  if (options.life_fd < 0) os::keep_logs_only(options.session_directory);  // The key goes with the last who needs it.
  return code;
}

}  // namespace mobula::raylet
