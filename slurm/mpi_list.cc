#include "slurm/mpi_list.h"

#include <array>
#include <cstdio>
#include <memory>

namespace mobula::slurm {

std::string parse_mpi_list(std::string_view text) {
  std::string out;
  bool listing = false;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    constexpr std::string_view kPrefix = "srun: ";  // Up to Slurm 20.11.
    if (line.substr(0, kPrefix.size()) == kPrefix) line.remove_prefix(kPrefix.size());
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    const bool is_word = !line.empty() && line.find_first_of(" :.") == std::string_view::npos;
    if (line.find("types are") != std::string_view::npos) {
      listing = true;
    } else if (listing && is_word) {
      out += (out.empty() ? "" : ", ") + std::string(line);
    } else {
      listing = false;
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

std::string mpi_list_of_site() {
  const std::unique_ptr<FILE, int (*)(FILE*)> srun(::popen("srun --mpi=list 2>&1", "re"), ::pclose);
  if (srun == nullptr) return {};
  std::string text;
  std::array<char, 1024> buffer;
  for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), srun.get())) > 0;) text.append(buffer.data(), n);
  return parse_mpi_list(text);
}

}  // namespace mobula::slurm
