#include "core/raylet/heartbeat.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <sstream>
#include <utility>

#include "core/os/process.h"
#include "core/rpc/rpc.h"

namespace mobula::raylet {

using base::Error;

// All of it runs on the heartbeat's thread.
class Heartbeat::Beater {
 public:
  using ToMain = std::function<void(std::function<void()>)>;

  Beater(os::EventLoop& loop, HeartbeatOptions options, ToMain to_main, Events events)
      : loop_(loop),
        options_(std::move(options)),
        to_main_(std::move(to_main)),
        events_(std::move(events)),
        status_(options_.self) {}

  ~Beater() {
    if (life_watch_ != 0) loop_.remove(life_watch_);
  }

  void start() {
    if (options_.life_fd >= 0) {
      life_watch_ = loop_.watch(options_.life_fd, EPOLLIN, [this](std::uint32_t) {
        loop_.remove(std::exchange(life_watch_, 0));
        end("the process that this node belongs to has ended");
      });
    }
    auto rpc = rpc::Rpc::connect(loop_, options_.gcs_address, options_.channel,
                                 {.ready = nullptr, .closed = [this](const Error& why) {
                                    rpc_.reset();
                                    end("the GCS is gone: " + why.what);
                                  }});
    if (!rpc) return end("the GCS is gone: " + rpc.error().what);
    rpc_ = std::move(*rpc);
    heard_at_ = last_beat_ = os::now();
    beat();
  }

  void set_status(const proto::Heartbeat& status) {
    const bool news = status.available_version() != status_.available_version();
    const std::uint64_t lag = status_.loop_lag_us();
    status_ = status;
    status_.set_node_id(options_.self.node_id());
    status_.set_incarnation(options_.self.incarnation());
    status_.set_loop_lag_us(lag);
    if (news) send();
  }

 private:
  void beat() {
    measure_lag();
    if (gcs_is_silent()) return end("the GCS is gone: it has not answered for " + seconds(options_.silence) + " s");
    send();
    loop_.after(options_.every, [this] { beat(); });
  }

  // While this process stood still, nobody can say who was silent.
  bool gcs_is_silent() {
    const base::Time now = os::now();
    const base::Duration late = now - std::exchange(last_beat_, now) - options_.every;
    if (late > options_.every) heard_at_ += late;
    return now - heard_at_ > options_.silence;
  }

  static std::string seconds(base::Duration d) {
    std::ostringstream out;
    out << std::chrono::duration<double>(d).count();
    return out.str();
  }

  void send() {
    if (rpc_ == nullptr) return;
    status_.set_view_version(view_version_);
    rpc_->ask<proto::HeartbeatReply>(
        proto::HEARTBEAT, status_, std::chrono::seconds(5), [this](base::Result<proto::HeartbeatReply> reply) {
          if (!reply) return;  // A close is told apart; a late answer will be followed by a newer one.
          heard_at_ = os::now();
          if (reply->has_view()) view_version_ = std::max(view_version_, reply->view().version());
          if (!reply->fenced() && !reply->has_view()) return;
          to_main_([this, message = std::move(*reply)] { events_.reply(message); });
        });
  }

  // How long the main loop takes to get to what is posted to it.
  void measure_lag() {
    if (asked_at_) {
      const auto waited = std::chrono::duration_cast<std::chrono::microseconds>(os::now() - *asked_at_);
      status_.set_loop_lag_us(static_cast<std::uint64_t>(waited.count()));
      return;
    }
    asked_at_ = os::now();
    to_main_([this] {
      loop_.post([this] {
        const auto lag = std::chrono::duration_cast<std::chrono::microseconds>(os::now() - *asked_at_);
        status_.set_loop_lag_us(static_cast<std::uint64_t>(lag.count()));
        asked_at_.reset();
      });
    });
  }

  void end(const std::string& why) {
    if (std::exchange(ending_, true)) return;
    to_main_([this, why] { events_.must_end(why); });
    loop_.after(options_.patience, [why] {
      std::fprintf(stderr, "mobula raylet: %s, and the main loop does not end: exiting\n", why.c_str());
      ::_exit(1);
    });
  }

  os::EventLoop& loop_;
  const HeartbeatOptions options_;
  const ToMain to_main_;
  const Events events_;
  proto::Heartbeat status_;
  std::unique_ptr<rpc::Rpc> rpc_;
  os::EventLoop::Id life_watch_ = 0;
  std::uint64_t view_version_ = 0;
  std::optional<base::Time> asked_at_;
  base::Time heard_at_{};
  base::Time last_beat_{};
  bool ending_ = false;
};

Heartbeat::Heartbeat(os::EventLoop& main_loop, HeartbeatOptions options, Events events) : main_loop_(main_loop) {
  auto to_main = [this, alive = alive_](std::function<void()> call) {
    main_loop_.post([alive, call = std::move(call)] {
      if (*alive) call();
    });
  };
  beater_ = std::make_unique<Beater>(loop_, std::move(options), std::move(to_main), std::move(events));
  thread_ = std::thread([this] {
    os::set_process_name("heartbeat");
    beater_->start();
    loop_.run();
  });
}

Heartbeat::~Heartbeat() {
  *alive_ = false;
  loop_.post([this] { loop_.stop(); });
  thread_.join();
  beater_.reset();
}

void Heartbeat::set_status(const proto::Heartbeat& status) {
  loop_.post([this, status] { beater_->set_status(status); });
}

}  // namespace mobula::raylet
