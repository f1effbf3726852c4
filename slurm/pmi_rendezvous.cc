#include "slurm/pmi_rendezvous.h"

#include <algorithm>
#include <utility>

#include "core/os/event_loop.h"
#include "slurm/mpi_order.h"
#include "slurm/pmi_client.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr const char* kKey = "mobula";
constexpr std::size_t kPartsMax = 64;
constexpr auto kEndTime = std::chrono::seconds(5);

class PmiRendezvous final : public Rendezvous {
 public:
  PmiRendezvous(PmiClient client, Afterwards afterwards) : client_(std::move(client)), afterwards_(afterwards) {}
  ~PmiRendezvous() override { end(); }

  std::string name() const override { return "pmi"; }
  bool is_collective() const override { return true; }
  std::string start_name() const override { return client_.kvs(); }

  // A value may be shorter than an invitation: parts "mobula-0", "mobula-1", ... after their count.
  Result<void> publish(const Invitation& invitation, base::Time deadline) override {
    std::string text = encode_text(invitation);
    const std::size_t part_bytes = client_.value_bytes_max() - 1;
    const std::size_t parts = (text.size() + part_bytes - 1) / part_bytes;
    auto done = client_.put(kKey, std::to_string(parts), deadline);
    for (std::size_t i = 0; done && i < parts; ++i) {
      std::string part = text.substr(i * part_bytes, part_bytes);
      done = client_.put(key(i), part, deadline);
      wipe(part);
    }
    wipe(text);
    if (!done) return done;
    return attend(deadline);
  }

  Result<Invitation> fetch(base::Time deadline) override {
    if (const auto met = meet(deadline); !met) return met.error();
    const auto count = client_.get(kKey, deadline);
    if (!count) return count.error();
    const std::size_t parts = std::strtoul(count->c_str(), nullptr, 10);
    if (parts > kPartsMax) return Error{Code::kInvalid, "PMI has " + *count + " parts of an invitation"};
    std::string text;
    for (std::size_t i = 0; i < parts; ++i) {
      const auto part = client_.get(key(i), deadline);
      if (!part) return part.error();
      text += *part;
    }
    auto invitation = decode_invitation_text(text);
    wipe(text);
    if (afterwards_ == Afterwards::kNothing) end();
    return invitation;
  }

  Result<void> attend(base::Time deadline) override {
    const auto met = meet(deadline);
    if (afterwards_ == Afterwards::kNothing) end();
    return met;
  }

 private:
  static std::string key(std::size_t part) { return std::string(kKey) + "-" + std::to_string(part); }

  Result<void> meet(base::Time deadline) {
    const auto met = client_.barrier(deadline);
    if (met || met.error().code != Code::kDeadline) return met;
    return Error{
        Code::kDeadline,
        "not every task of this start has come to PMI's barrier in time (MOBULA_START_TIMEOUT), and PMI does not "
        "say which; MOBULA_RENDEZVOUS=munge or file does, and MOBULA_MIN_NODES goes on with fewer"};
  }

  // A task that has begun PMI and does not finalize it counts as crashed.
  void end() {
    if (std::exchange(ended_, true) || mpi_was_initialized()) return;
    (void)client_.finalize(os::now() + kEndTime);
  }

  PmiClient client_;
  const Afterwards afterwards_;
  bool ended_ = false;
};

}  // namespace

Result<std::unique_ptr<Rendezvous>> make_pmi_rendezvous(int fd, Afterwards afterwards, base::Time deadline) {
  PmiClient client(fd);
  const auto begun = client.begin(deadline);
  if (!begun) return begun.error();
  return std::unique_ptr<Rendezvous>(std::make_unique<PmiRendezvous>(std::move(client), afterwards));
}

}  // namespace mobula::slurm
