#include "core/raylet/log_capture.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/os/error.h"

namespace mobula::raylet {
namespace {

constexpr auto kBatchDelay = std::chrono::milliseconds(20);
constexpr std::size_t kBatchBytesMax = 256 * 1024;
constexpr std::size_t kReadBytes = 64 * 1024;

base::Result<std::pair<os::Fd, os::Fd>> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return os::error_from_errno(errno, "a pipe for a worker's output");
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);  // Our end alone: the worker's writes may wait.
  return std::pair(os::Fd(ends[0]), os::Fd(ends[1]));
}

}  // namespace

LogCapture::LogCapture(os::EventLoop& loop, std::string directory, std::string node, Sink sink)
    : loop_(loop), directory_(std::move(directory)), node_(std::move(node)), sink_(std::move(sink)) {}

LogCapture::~LogCapture() {
  for (auto& [id, worker] : workers_) {
    for (Stream& stream : worker.streams) stop(stream);
  }
  for (auto& [job, batch] : batches_) {
    if (batch.timer != 0) loop_.cancel(batch.timer);
  }
}

base::Result<LogCapture::Output> LogCapture::open(const base::WorkerId& id, const base::JobId& job) {
  auto out = make_pipe();
  if (!out) return out.error();
  auto err = make_pipe();
  if (!err) return err.error();
  Worker& worker = workers_[id];
  worker.job = job;
  worker.streams[0].pipe = std::move(out->first);
  worker.streams[1].pipe = std::move(err->first);
  for (std::size_t i = 0; i < worker.streams.size(); ++i) {
    worker.streams[i].watch = loop_.watch(worker.streams[i].pipe.get(), EPOLLIN, [this, id, i](std::uint32_t) {
      const auto it = workers_.find(id);
      if (it != workers_.end() && !read_some(id, it->second, i)) stop(it->second.streams[i]);
    });
  }
  return Output{std::move(out->second), std::move(err->second)};
}

void LogCapture::set_pid(const base::WorkerId& id, pid_t pid) {
  if (const auto it = workers_.find(id); it != workers_.end()) it->second.pid = pid;
}

void LogCapture::set_name(const base::WorkerId& id, std::string name) {
  const auto it = workers_.find(id);
  if (it == workers_.end()) return;
  it->second.name = std::move(name);
  if (!it->second.file.empty()) remember(it->second);
}

std::vector<std::string> LogCapture::close(const base::WorkerId& id) {
  const auto it = workers_.find(id);
  if (it == workers_.end()) return {};
  Worker& worker = it->second;
  for (std::size_t i = 0; i < worker.streams.size(); ++i) {
    Stream& stream = worker.streams[i];
    // A pipe holds 64 KiB, or 1 MiB if somebody raised it; what a surviving grandchild adds meanwhile is not waited
    // for.
    for (int round = 0; round < 16 && stream.pipe.valid(); ++round) {
      if (!read_some(id, worker, i)) break;
    }
    stop(stream);
    if (!stream.partial.empty()) line(worker, i, std::exchange(stream.partial, {}));
  }
  flush(worker.job);
  std::vector<std::string> tail(worker.tail.begin(), worker.tail.end());
  workers_.erase(it);
  return tail;
}

void LogCapture::stop(Stream& stream) {
  if (!stream.pipe.valid()) return;
  loop_.remove(stream.watch);
  stream.pipe.reset();
}

// False when nothing more will come, or nothing is there.
bool LogCapture::read_some(const base::WorkerId& id, Worker& worker, std::size_t which) {
  std::array<char, kReadBytes> buffer;
  const ssize_t n = ::read(worker.streams[which].pipe.get(), buffer.data(), buffer.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) return false;
  const std::string_view bytes(buffer.data(), static_cast<std::size_t>(n));
  write_file(id, worker, which, bytes);
  append(worker, which, bytes);
  return true;
}

void LogCapture::append(Worker& worker, std::size_t which, std::string_view bytes) {
  std::string& partial = worker.streams[which].partial;
  while (!bytes.empty()) {
    const std::size_t room = kLineBytesMax - partial.size();
    const std::size_t end = bytes.find('\n');
    const std::size_t take = std::min({end == std::string_view::npos ? bytes.size() : end, room});
    partial.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    const bool ended = !bytes.empty() && bytes.front() == '\n';
    if (ended) bytes.remove_prefix(1);
    if (ended || partial.size() >= kLineBytesMax) {
      line(worker, which, partial);
      partial.clear();
    }
  }
}

void LogCapture::line(Worker& worker, std::size_t which, std::string_view text) {
  worker.tail.emplace_back(text);
  if (worker.tail.size() > kLastLines) worker.tail.pop_front();
  Stream& stream = worker.streams[which];
  Batch& batch = batches_[worker.job];
  if (stream.last_at >= 0 && stream.last_at < batch.lines.lines_size() && stream.last == text) {
    auto* before = batch.lines.mutable_lines(stream.last_at);
    before->set_repeated_times(before->repeated_times() + 1);
    return;
  }
  stream.last = text;
  stream.last_at = batch.lines.lines_size();
  proto::LogLine* out = batch.lines.add_lines();
  out->set_worker(worker.name);
  out->set_pid(worker.pid);
  out->set_node(node_);
  out->set_is_stderr(which == 1);
  out->set_text(std::string(text));
  out->set_job_id(worker.job.bytes());
  out->set_repeated_times(1);
  batch.bytes += text.size() + 64;
  if (batch.bytes >= kBatchBytesMax) {
    flush(worker.job);
  } else if (batch.timer == 0) {
    batch.timer = loop_.after(kBatchDelay, [this, job = worker.job] { flush(job); });
  }
}

void LogCapture::flush(const base::JobId& job) {
  auto batch = batches_.extract(job);
  if (batch.empty()) return;
  if (batch.mapped().timer != 0) loop_.cancel(batch.mapped().timer);
  for (auto& [id, worker] : workers_) {
    if (worker.job != job) continue;
    for (Stream& stream : worker.streams) stream.last_at = -1;
  }
  if (batch.mapped().lines.lines_size() != 0) sink_(job, batch.mapped().lines);
}

void LogCapture::remember(const Worker& worker) {
  const auto [at, is_new] = remembered_.insert_or_assign(worker.file, Remembered{worker.job, worker.name, worker.pid});
  if (!is_new) return;
  remembered_order_.push_back(worker.file);
  if (remembered_order_.size() <= kRememberedMax) return;
  remembered_.erase(remembered_order_.front());
  remembered_order_.pop_front();
}

void LogCapture::describe(proto::LogFile& file) const {
  const auto it = remembered_.find(file.name().substr(0, file.name().rfind('.')));
  if (it == remembered_.end()) return;
  file.set_job_id(it->second.job.bytes());
  file.set_worker(it->second.name);
  file.set_pid(it->second.pid);
}

void LogCapture::write_file(const base::WorkerId& id, Worker& worker, std::size_t which, std::string_view bytes) {
  os::Fd& file = worker.streams[which].file;
  if (!file.valid()) {
    if (worker.file.empty()) {
      worker.file = "worker-" + id.short_hex() + "-" + std::to_string(worker.pid);
      remember(worker);
    }
    const std::string path = directory_ + "/" + worker.file + (which == 0 ? ".out" : ".err");
    file = os::Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  }
  // A full disk costs the file, never the worker: its lines still reach the driver.
  while (file.valid() && !bytes.empty()) {
    const ssize_t n = ::write(file.get(), bytes.data(), bytes.size());
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace mobula::raylet
