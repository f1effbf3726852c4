#include "core/gcs/time_limit.h"

#include <utility>

#include "core/os/log.h"
#include "core/os/process.h"
#include "slurm/job_time.h"

namespace mobula::gcs {
namespace {

constexpr auto kAnswerTime = std::chrono::seconds(10);

}  // namespace

TimeLimit::TimeLimit(os::EventLoop& loop, const cluster::GcsOptions& options,
                     std::function<void(const proto::TimeLimit&)> changed)
    : loop_(loop), changed_(std::move(changed)), refresh_(std::chrono::milliseconds(options.end_refresh_ms)) {
  if (options.end_unix_ms != 0) {
    end_.set_end_unix_ms(options.end_unix_ms);
    return;
  }
  const slurm::JobTime time = slurm::read_job_time(os::environment());
  if (time.job_id.empty()) return;
  job_id_ = time.job_id;
  if (time.end) end_.set_end_unix_ms(*time.end * 1000);
  // At once where the environment does not say it; nobody waits for the answer.
  timer_ = loop_.after(time.end ? refresh_ : base::Duration::zero(), [this] { ask(); });
}

TimeLimit::~TimeLimit() { loop_.cancel(timer_); }

void TimeLimit::node_joined(rpc::Rpc& rpc) const {
  if (end_.end_unix_ms() != 0) (void)rpc.notify(proto::TIME_LIMIT, end_);
}

void TimeLimit::ask() {
  question_ = std::make_unique<os::Command>(
      loop_,
      os::CommandOptions{slurm::job_end_question(job_id_), slurm::job_end_environment(os::environment()), kAnswerTime},
      [this](const os::CommandResult& answer) {
        answered(answer);
        timer_ = loop_.after(refresh_, [this] { ask(); });
      });
}

void TimeLimit::answered(const os::CommandResult& answer) {
  const auto end = answer ? slurm::parse_job_end(*answer) : base::Result<slurm::UnixSeconds>(answer.error());
  if (end) return set(end->value_or(0) * 1000);
  // What was known stays: a controller that does not answer has not moved the limit.
  if (!std::exchange(complained_, true)) {
    os::log(os::LogLevel::kWarn, "the end of job {} is not known: {}", job_id_, end.error().what);
  }
}

void TimeLimit::set(std::int64_t end_unix_ms) {
  if (end_.end_unix_ms() == end_unix_ms) return;
  end_.set_end_unix_ms(end_unix_ms);
  changed_(end_);
}

}  // namespace mobula::gcs
