// PMI's lines: to the server of our own starts from its tasks, and (first byte odd) from a launcher to our client.

#include <sys/socket.h>

#include <array>

#include "core/os/event_loop.h"
#include "core/os/fd.h"
#include "slurm/pmi_client.h"
#include "slurm/pmi_server.h"
#include "tests/fuzz/input.h"

using namespace mobula;

namespace {

constexpr std::uint32_t kTasks = 3;

// What a task says, however long, costs no more than the limits that the server tells.
void serve(fuzz::Input& input) {
  slurm::PmiServer server(kTasks, "kvs");
  std::size_t asked = 0, answered = 0;
  while (!input.empty()) {
    const std::uint32_t task = input.byte() % kTasks;
    ++asked;
    for (const auto& line : server.take(task, input.until('\n'))) {
      fuzz::require(line.task < kTasks && line.text.size() < 2048 && line.text.find('\n') == std::string::npos);
      ++answered;
    }
  }
  fuzz::require(answered <= asked);
}

// All that the launcher will ever say is in the socket before it is asked anything.
void ask(fuzz::Input& input) {
  std::array<int, 2> pair{};
  fuzz::require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
  const os::Fd socket(pair[0]);
  os::Fd launcher(pair[1]);
  const std::string_view sent = input.text().substr(0, 32 * 1024);
  fuzz::require(::send(launcher.get(), sent.data(), sent.size(), 0) == static_cast<ssize_t>(sent.size()));
  ::shutdown(launcher.get(), SHUT_WR);
  const auto deadline = os::now() + std::chrono::seconds(5);
  slurm::PmiClient client(socket.get());
  if (!client.begin(deadline)) return;
  fuzz::require(client.value_bytes_max() >= 2);
  static_cast<void>(client.put("key", "value", deadline));
  static_cast<void>(client.barrier(deadline));
  static_cast<void>(client.publish_name("name", "value", deadline));
  if (const auto value = client.lookup_name("name", deadline)) fuzz::require(value->size() <= sent.size());
  if (const auto value = client.get("key", deadline)) fuzz::require(value->size() <= sent.size());
  static_cast<void>(client.finalize(deadline));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  input.byte() % 2 == 0 ? serve(input) : ask(input);
  return 0;
}
