#include "bench/sides/serve.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <sstream>

namespace mobula::bench {
namespace {

bool read_line(std::string& line) {  // Byte by byte: what follows may be for a child.
  line.clear();
  for (char c = 0; ::read(STDIN_FILENO, &c, 1) == 1;) {
    if (c == '\n') return true;
    line += c;
  }
  return false;
}

std::string refusal(std::string why) {
  std::replace(why.begin(), why.end(), '\n', ' ');
  return "no " + why;
}

}  // namespace

Side::Side(std::string version) : version_(std::move(version)), answers_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)) {
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
}

Side::~Side() { ::close(answers_); }

void Side::serve() {
  for (std::string request; read_line(request);) {
    const std::string line = answer(request) + "\n";
    if (::write(answers_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) return;
  }
}

std::string Side::answer(const std::string& request) const {
  std::istringstream words(request);
  std::string metric;
  std::string effort;
  words >> metric >> effort;
  if (metric == "version") return "ok " + version_;
  const auto found = measurements_.find(metric);
  if (found == measurements_.end()) return "no this side does not measure " + metric;
  try {
    std::ostringstream out;
    out.precision(9);
    out << "ok " << found->second(Effort{effort == "quick"});
    return out.str();
  } catch (const std::exception& error) {
    return refusal(error.what());
  }
}

}  // namespace mobula::bench
