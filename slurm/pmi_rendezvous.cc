#include "slurm/pmi_rendezvous.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/os/event_loop.h"
#include "slurm/host_list.h"
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
constexpr auto kNamingTime = std::chrono::seconds(3);

class PmiRendezvous final : public Rendezvous {
 public:
  PmiRendezvous(PmiClient client, PmiRendezvousOptions options)
      : client_(std::move(client)), options_(std::move(options)) {}
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
    if (options_.afterwards == Afterwards::kNothing) end();
    return invitation;
  }

  Result<void> attend(base::Time deadline) override {
    const auto met = meet(deadline);
    if (options_.afterwards == Afterwards::kNothing) end();
    return met;
  }

 private:
  static std::string key(std::size_t part) { return std::string(kKey) + "-" + std::to_string(part); }

  Result<void> meet(base::Time deadline) {
    const base::Time now = os::now();
    auto met = client_.barrier(now + (deadline - now) / 2);
    if (!is_late(met)) return met;
    const bool named = static_cast<bool>(client_.publish_name(name_of(options_.rank), options_.host, deadline));
    const bool tells = named && options_.rank == 0;
    met = client_.barrier(tells ? deadline - std::min<base::Duration>(kNamingTime, (deadline - os::now()) / 2)
                                : deadline);
    if (!is_late(met)) return met;
    std::string who = tells ? absent(deadline) : "";
    if (who.empty()) who = named && !tells ? "rank 0 says which" : "and this launcher's PMI cannot say which";
    return Error{
        Code::kDeadline,
        "not every task of this start has come to PMI's barrier in time (MOBULA_START_TIMEOUT); " + who +
            "; MOBULA_MIN_NODES goes on with fewer, by MOBULA_RENDEZVOUS=munge or file where those are to be had"};
  }

  static bool is_late(const Result<void>& met) { return !met && met.error().code == Code::kDeadline; }
  std::string name_of(std::uint32_t rank) const { return "mobula-" + client_.kvs() + "-" + std::to_string(rank); }

  // Who has published no name; empty when that cannot be found out, as where our own is not to be had either.
  std::string absent(base::Time deadline) {
    if (!client_.lookup_name(name_of(0), deadline)) return {};
    std::vector<std::string> ranks;
    std::set<std::string> hosts(options_.hosts.begin(), options_.hosts.end());
    hosts.erase(options_.host);
    std::uint32_t rank = 1;
    for (; rank < options_.size; ++rank) {
      const auto host = client_.lookup_name(name_of(rank), deadline);
      if (host) {
        hosts.erase(*host);
      } else if (host.error().code == Code::kNotFound) {
        ranks.push_back("rank" + std::to_string(rank));
      } else {
        break;
      }
    }
    if (ranks.empty()) return {};
    std::string out = std::to_string(ranks.size()) + " of " + std::to_string(rank) + " tasks " +
                      (rank < options_.size ? "(no time to ask for all " + std::to_string(options_.size) + ") " : "") +
                      "are missing: " + write_host_list(ranks);
    if (rank == options_.size && !hosts.empty())
      out += "; nothing came from: " + write_host_list({hosts.begin(), hosts.end()});
    return out;
  }

  // A task that has begun PMI and does not finalize it counts as crashed.
  void end() {
    if (std::exchange(ended_, true) || mpi_was_initialized()) return;
    (void)client_.finalize(os::now() + kEndTime);
  }

  PmiClient client_;
  const PmiRendezvousOptions options_;
  bool ended_ = false;
};

}  // namespace

Result<std::unique_ptr<Rendezvous>> make_pmi_rendezvous(PmiRendezvousOptions options, base::Time deadline) {
  PmiClient client(options.fd);
  const auto begun = client.begin(deadline);
  if (!begun) return begun.error();
  return std::unique_ptr<Rendezvous>(std::make_unique<PmiRendezvous>(std::move(client), std::move(options)));
}

}  // namespace mobula::slurm
