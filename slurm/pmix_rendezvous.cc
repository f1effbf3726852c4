#include "slurm/pmix_rendezvous.h"

#include <utility>

namespace mobula::slurm {
namespace {

using base::Error;
using base::Result;

constexpr const char* kKey = "mobula.invitation";

class PmixRendezvous final : public Rendezvous {
 public:
  PmixRendezvous(std::unique_ptr<PmixClient> client, Afterwards afterwards)
      : client_(std::move(client)), afterwards_(afterwards) {}

  std::string name() const override { return "pmix"; }
  bool is_collective() const override { return true; }

  Result<void> publish(const Invitation& invitation, base::Time) override {
    std::string text = encode_text(invitation);
    const auto done = client_->publish(kKey, text);
    wipe(text);
    return done;
  }

  Result<Invitation> fetch(base::Time deadline) override {
    auto text = client_->fetch(kKey, deadline);
    if (!text) return text.error();
    auto invitation = decode_invitation_text(*text);
    wipe(*text);
    if (afterwards_ == Afterwards::kNothing) client_.reset();
    return invitation;
  }

  // An MPI that comes after us counts on the library as it is.
  Result<void> attend(base::Time) override {
    if (afterwards_ == Afterwards::kNothing) client_.reset();
    return {};
  }

 private:
  std::unique_ptr<PmixClient> client_;
  const Afterwards afterwards_;
};

}  // namespace

std::unique_ptr<Rendezvous> make_pmix_rendezvous(std::unique_ptr<PmixClient> client, Afterwards afterwards) {
  return std::make_unique<PmixRendezvous>(std::move(client), afterwards);
}

}  // namespace mobula::slurm
