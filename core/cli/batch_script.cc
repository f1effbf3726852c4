#include "core/cli/batch_script.h"

#include <algorithm>
#include <string_view>

namespace mobula::cli {
namespace {

bool is_plain(char c) {
  constexpr std::string_view kPlain = "-_./=:,@%+";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kPlain.find(c) != std::string_view::npos;
}

// In a #SBATCH line nothing may end the line or begin a comment.
std::string option_word(const std::string& text) {
  std::string out;
  std::copy_if(text.begin(), text.end(), std::back_inserter(out), is_plain);
  return out;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::string shell_word(const std::string& text) {
  if (!text.empty() && std::all_of(text.begin(), text.end(), is_plain)) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string batch_script(const BatchOptions& o) {
  std::string out = "#!/bin/bash\n";
  const auto option = [&out](const std::string& name, const std::string& value) {
    if (!value.empty()) out += "#SBATCH --" + name + "=" + option_word(value) + "\n";
  };
  option("job-name", base_name(o.command.at(0)));
  option("output", "%x-%j.out");
  option("nodes", std::to_string(o.nodes));
  option("ntasks-per-node", "1");
  option("cpus-per-task", o.cpus_per_task);
  option("gpus-per-node", o.gpus_per_node);
  option("mem", o.memory);
  option("time", o.time);
  option("partition", o.partition);
  option("account", o.account);
  out += "#SBATCH --open-mode=append\n";
  if (o.warning_s != 0) out += "#SBATCH --signal=USR1@" + std::to_string(o.warning_s) + "\n";
  out += o.requeue ? "#SBATCH --requeue\n" : "#SBATCH --no-requeue\n";
  if (o.nodes > 1) out += "#SBATCH --no-kill\n";
  out += "\n";
  if (o.requeue) out += "# Out of time, the job saves its state and asks to be run again.\nexport MOBULA_REQUEUE=1\n\n";
  out +=
      "# The tasks act on signals; this shell waits for them, and hands on what it alone gets.\n"
      "trap : TERM\n"
      "trap 'scancel --signal=USR1 \"$SLURM_JOB_ID\"' USR1\n\n"
      "srun";
  if (o.nodes > 1) out += " --no-kill";
  // srun of newer versions does not take the number from sbatch.
  if (!o.cpus_per_task.empty()) out += " --cpus-per-task=" + option_word(o.cpus_per_task);
  if (!o.mpi.empty()) out += " --mpi=" + option_word(o.mpi);
  out += " --kill-on-bad-exit=0 --wait=0";
  for (const std::string& word : o.command) out += " " + shell_word(word);
  out +=
      " &\n"
      "step=$!\n"
      "while :; do\n"
      "  wait \"$step\"; code=$?\n"
      "  kill -0 \"$step\" 2>/dev/null || break  # Else a signal has ended the wait.\n"
      "done\n"
      "exit \"$code\"\n";
  return out;
}

}  // namespace mobula::cli
