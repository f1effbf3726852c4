#include "core/worker/saved_state.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "core/base/ids.h"
#include "core/os/log.h"
#include "core/os/whole_file.h"

namespace mobula::runtime {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::string_view kRunPrefix = "run-";
constexpr std::size_t kFileBytesMax = std::size_t{1} << 36;

struct FileHeader {
  char magic[8] = {'M', 'O', 'B', 'S', 'T', 'A', 'T', 'E'};
  std::uint32_t version = 1;
  std::uint32_t reserved = 0;
  std::uint64_t bytes = 0;
  std::uint64_t checksum = 0;
};
static_assert(sizeof(FileHeader) == 32);

std::string_view variable(const std::vector<std::string>& environment, std::string_view name) {
  for (const std::string_view v : environment) {
    if (v.size() > name.size() && v[name.size()] == '=' && v.substr(0, name.size()) == name)
      return v.substr(name.size() + 1);
  }
  return {};
}

std::optional<unsigned> parse_number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Runs that have saved anything, ascending.
std::vector<unsigned> runs_in(const std::string& directory) {
  std::vector<unsigned> out;
  for (const std::string& name : os::list_directory(directory)) {
    if (name.compare(0, kRunPrefix.size(), kRunPrefix) != 0) continue;
    if (const auto run = parse_number(std::string_view(name).substr(kRunPrefix.size()))) out.push_back(*run);
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::optional<std::vector<std::byte>> open_file(std::vector<std::byte> file) {
  FileHeader header;
  const FileHeader expected;
  if (file.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, file.data(), sizeof header);
  if (std::memcmp(header.magic, expected.magic, sizeof header.magic) != 0 || header.version != expected.version)
    return std::nullopt;
  const base::ConstBytes bytes = base::ConstBytes(file).subspan(sizeof header);
  if (header.bytes != bytes.size() || header.checksum != base::hash64(base::as_string_view(bytes))) return std::nullopt;
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

}  // namespace

SavedState SavedState::from_settings(const base::Settings& settings, const std::vector<std::string>& environment,
                                     const std::string& program) {
  const std::string_view job = variable(environment, "SLURM_JOB_ID");
  std::string directory = settings.text("state_directory");
  if (settings.is_auto("state_directory")) {
    const std::string_view submitted = variable(environment, "SLURM_SUBMIT_DIR");
    if (job.empty() || submitted.empty()) return {};
    directory = std::string(submitted) + "/mobula-state";
  }
  std::string key =
      settings.is_auto("state_key") ? std::string(job.empty() ? program : job) : settings.text("state_key");
  directory += "/" + file_name_of(key);
  if (!job.empty()) return {directory, parse_number(variable(environment, "SLURM_RESTART_COUNT")).value_or(0)};
  const auto runs = runs_in(directory);
  return {directory, runs.empty() ? 0 : runs.back() + 1};
}

SavedState SavedState::from_variable(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon + 1 == text.size()) return {};
  const auto run = parse_number(text.substr(0, colon));
  return run ? SavedState(std::string(text.substr(colon + 1)), *run) : SavedState();
}

std::string SavedState::to_variable() const { return exists() ? std::to_string(run_) + ":" + directory_ : ""; }

std::string SavedState::run_directory(unsigned run) const {
  return directory_ + "/" + std::string(kRunPrefix) + std::to_string(run);
}

bool SavedState::resumes() const {
  if (!exists()) return false;
  const auto runs = runs_in(directory_);
  return std::any_of(runs.begin(), runs.end(), [this](unsigned run) { return run < run_; });
}

Result<void> SavedState::write(std::string_view name, base::ConstBytes bytes) const {
  if (!exists()) return Error{Code::kInvalid, "there is no directory for saved state"};
  if (const auto made = os::make_directories(run_directory(run_)); !made) return made;
  FileHeader header;
  header.bytes = bytes.size();
  header.checksum = base::hash64(base::as_string_view(bytes));
  std::vector<std::byte> file(sizeof header + bytes.size());
  std::memcpy(file.data(), &header, sizeof header);
  if (!bytes.empty()) std::memcpy(file.data() + sizeof header, bytes.data(), bytes.size());
  return os::write_whole_file(run_directory(run_) + "/" + file_name_of(name), file);
}

Result<std::vector<std::byte>> SavedState::read(std::string_view name) const {
  if (!exists()) return Error{Code::kNotFound, "there is no directory for saved state"};
  auto runs = runs_in(directory_);
  std::erase_if(runs, [this](unsigned run) { return run > run_; });
  std::string damaged;
  for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
    const std::string path = run_directory(*run) + "/" + file_name_of(name);
    auto file = os::read_whole_file(path, kFileBytesMax);
    if (!file && file.error().code == Code::kNotFound) continue;
    if (!file) return file.error();
    if (auto bytes = open_file(std::move(*file))) return std::move(*bytes);
    damaged = path;
    os::log(os::LogLevel::kError, "saved state {} is damaged: an older one is looked for", path);
  }
  if (!damaged.empty()) return Error{Code::kLost, "saved state " + damaged + " is damaged, and there is no older one"};
  return Error{Code::kNotFound, "nothing is saved as \"" + std::string(name) + "\" in " + directory_};
}

std::string file_name_of(std::string_view name) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || (c == '.' && !out.empty());
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out.empty() ? "%" : out;
}

}  // namespace mobula::runtime
