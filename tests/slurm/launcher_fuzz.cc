// What launchers and Slurm's tools say as text: variables of the environment, a line each; numbers of tasks; places in
// the network; ends of jobs; slurm.conf.

#include "slurm/environment.h"
#include "slurm/identity.h"
#include "slurm/job_time.h"
#include "slurm/mpi_list.h"
#include "slurm/munge.h"
#include "slurm/node_place.h"
#include "tests/fuzz/input.h"

using namespace mobula;

namespace {

void read_environment(fuzz::Input& input) {
  std::vector<std::string> lines;
  while (!input.empty()) lines.emplace_back(input.until('\n'));
  if (const auto self = slurm::identify(slurm::to_environment(lines))) {
    fuzz::require(self->size == 0 ||
                  (self->rank < self->size && self->local_rank < self->local_size && self->local_size <= self->size));
    fuzz::require(!self->is_launched() || self->launcher != slurm::Launcher::kNone);
    fuzz::require(!self->pmi_fd || *self->pmi_fd >= 0);
    static_cast<void>(self->start_name());
  }
  const auto time = slurm::read_job_time(lines);
  fuzz::require(!time.end || *time.end > 0);
  // It becomes an argument and a part of a path.
  fuzz::require(time.job_id.find_first_not_of("0123456789") == std::string::npos);
}

void read_text(fuzz::Input& input) {
  const std::string first(input.until('\n'));
  const std::string second(input.text());
  static_cast<void>(slurm::tasks_of_node(first, static_cast<std::uint32_t>(second.size())));
  if (const auto labels = slurm::node_place(first, second)) {
    for (const auto& [name, value] : *labels) fuzz::require(!name.empty() && !value.empty());
  }
  if (const auto end = slurm::parse_job_end(first)) fuzz::require(!*end || **end > 0);
  fuzz::require(slurm::parse_mpi_list(second).size() <= 3 * second.size());
  fuzz::require(slurm::munge_socket_of(second).size() <= second.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  input.byte() % 2 == 0 ? read_environment(input) : read_text(input);
  return 0;
}
