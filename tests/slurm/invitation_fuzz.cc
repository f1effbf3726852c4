// What whoever answers to be rank 0, and whoever asks it, may have sent.  The first byte says which reader gets it.

#include <sys/socket.h>

#include <array>

#include "core/os/event_loop.h"
#include "slurm/framed.h"
#include "slurm/invitation.h"
#include "slurm/local_meeting.h"
#include "slurm/munge_exchange.h"
#include "tests/fuzz/input.h"

using namespace mobula;

namespace {

constexpr std::size_t kFieldBytesMax = 512;  // Of an invitation.

void read_invitation(std::string_view bytes) {
  const auto invitation = slurm::decode_invitation(bytes);
  if (!invitation) return;
  for (const auto* field : {&invitation->start, &invitation->build_id, &invitation->cluster, &invitation->host_key,
                            &invitation->gcs_unix, &invitation->gcs_tcp}) {
    fuzz::require(field->size() <= kFieldBytesMax);
  }
  fuzz::require(slurm::encode(*invitation) == bytes);
  const auto again = slurm::decode_invitation_text(slurm::encode_text(*invitation));
  fuzz::require(again && slurm::encode(*again) == slurm::encode(*invitation));
  static_cast<void>(slurm::check(*invitation, 1, "start", "build"));
}

void read_share(std::string_view bytes) {
  const auto share = slurm::decode_share(std::string(bytes));
  if (share) fuzz::require(slurm::encode(*share) == bytes);
}

// Both are inside what MUNGE has sealed; the scope is the reader's own.
void read_exchange(std::string_view bytes) {
  const slurm::JoinScope scope{.uid = 7, .start = "12.0"};
  static_cast<void>(slurm::answer_join(bytes, scope, "invitation"));
  const slurm::JoinQuestion question(scope);
  fuzz::require(!question.open(bytes));
  // A welcome that repeats the question's nonce, with any key and seal.
  const std::string_view asked = question.bytes();
  fuzz::require(!question.open("WEL2" + std::string(asked.substr(4, asked.size() - 4 - 32)) + std::string(bytes)));
}

void read_frames(std::string_view bytes) {
  std::array<int, 2> pair{};
  fuzz::require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) == 0);
  const os::Fd socket(pair[0]);
  os::Fd peer(pair[1]);
  const std::string_view sent = bytes.substr(0, slurm::kFrameBytesMax);
  fuzz::require(::send(peer.get(), sent.data(), sent.size(), 0) == static_cast<ssize_t>(sent.size()));
  peer.reset();
  std::size_t received = 0;
  while (const auto frame = slurm::receive_framed(socket, os::now() + std::chrono::seconds(5))) {
    fuzz::require(frame->size() <= slurm::kFrameBytesMax);
    received += sizeof(std::uint32_t) + frame->size();
  }
  fuzz::require(received <= sent.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t reader = input.byte();
  switch (reader % 5) {
    case 0: read_invitation(input.text()); break;
    case 1:
      if (const auto i = slurm::decode_invitation_text(input.text())) read_invitation(slurm::encode(*i));
      break;
    case 2: read_exchange(input.text()); break;
    case 3: read_share(input.text()); break;
    case 4: read_frames(input.text()); break;
  }
  return 0;
}
