#include "slurm/mpi_failure.h"

#include <string.h>

#include <charconv>
#include <csignal>
#include <utility>
#include <vector>

namespace mobula::slurm {
namespace {

constexpr int kSignalBase = 128, kSignalsMax = 64;

// The number that follows `words` in `text`.
std::optional<std::uint32_t> number_after(std::string_view text, std::string_view words) {
  const std::size_t at = text.find(words);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + words.size());
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  std::uint32_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  static_cast<void>(end);
  return error == std::errc() ? std::optional(out) : std::nullopt;
}

std::string word_after(std::string_view text, std::string_view words) {
  const std::size_t at = text.find(words);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + words.size());
  return std::string(text.substr(0, text.find_first_of(" :\n")));
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    out.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

// As strsignal() calls it in a message; 0: no signal's name.
int signal_called(std::string_view name) {
  for (int number = 1; number <= kSignalsMax; ++number) {
    const char* const description = ::sigdescr_np(number);
    if (description != nullptr && name.rfind(description, 0) == 0) return number;
  }
  return 0;
}

struct SrunLine {
  std::uint32_t task = 0;
  std::string host;
  int exit_code = 0;
  int signal = 0;
};
// "srun: error: n1: task 1: Exited with exit code 3", "srun: error: n2: tasks 0,2: Killed"
std::optional<SrunLine> srun_line(std::string_view line) {
  constexpr std::string_view kHead = "srun: error: ";
  if (line.rfind(kHead, 0) != 0) return std::nullopt;
  const bool several = line.find(": tasks ") != std::string_view::npos;
  const auto task = number_after(line, several ? ": tasks " : ": task ");
  if (!task) return std::nullopt;
  SrunLine out{.task = *task, .host = word_after(line, kHead)};
  if (const auto code = number_after(line, "Exited with exit code")) {
    out.exit_code = static_cast<int>(*code);
    return out;
  }
  out.signal = signal_called(line.substr(line.rfind(": ") + 2));
  if (out.signal == 0) return std::nullopt;
  out.exit_code = kSignalBase + out.signal;
  return out;
}

// srun ends with the highest code of all tasks, those that it has ended itself (SIGTERM, then SIGKILL) among them.
void read_srun(std::string_view text, MpiFailure& out) {
  std::optional<SrunLine> blamed;
  const int code = out.exit_code;
  for (const std::string_view line : lines_of(text)) {
    auto said = srun_line(line);
    if (!said) continue;
    const bool exact = said->signal == 0 && said->exit_code == code;
    if (!blamed || exact || (blamed->signal == SIGTERM && said->signal != SIGTERM)) blamed = std::move(said);
    if (exact) break;
  }
  if (!blamed) return;
  out.rank = blamed->task;
  out.host = blamed->host;
  out.exit_code = blamed->exit_code;
  out.signal = blamed->signal;
}

// "mpirun noticed that process rank 1 with PID 0 on node n1 exited on signal 9 (Killed)."
//   "Process name: [[3391,1],1]" and, in the next line, "Exit code:    4"
void read_open_mpi(std::string_view text, MpiFailure& out) {
  if (const auto rank = number_after(text, "noticed that process rank")) {
    out.rank = rank;
    const std::size_t at = text.find("noticed that process rank");
    out.host = word_after(text.substr(at), "on node ");
    if (const auto signal = number_after(text.substr(at), "exited on signal")) out.signal = static_cast<int>(*signal);
    return;
  }
  const std::size_t at = text.find("Process name: [[");
  if (at == std::string_view::npos) return;
  out.rank = number_after(text.substr(at), "],");
}

// "=   KILLED BY ..." is not told by rank in every version; "=   RANK 1 PID 9 RUNNING AT n1" is.
void read_hydra(std::string_view text, MpiFailure& out) {
  const std::size_t at = text.find("=   RANK ");
  if (at == std::string_view::npos) return;
  out.rank = number_after(text.substr(at), "RANK");
  out.host = word_after(text.substr(at), "RUNNING AT ");
}

}  // namespace

MpiFailure read_mpi_failure(std::string_view text, int launcher_code) {
  MpiFailure out;
  out.exit_code = launcher_code;
  if (launcher_code > kSignalBase && launcher_code <= kSignalBase + kSignalsMax)
    out.signal = launcher_code - kSignalBase;
  if (const auto aborter = number_after(text, "MPI_ABORT was invoked on rank")) {
    out.rank = aborter;
    out.signal = 0;
    out.aborted = true;
    return out;
  }
  read_open_mpi(text, out);
  if (!out.rank) read_hydra(text, out);
  if (!out.rank) read_srun(text, out);
  return out;
}

}  // namespace mobula::slurm
