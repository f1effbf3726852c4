#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "transport/ucx/link.h"

namespace mobula::transport::ucx {

// One worker's links, one per peer, and those that have failed until somebody asks.
class LinkTable final : private Link::Owner {
 public:
  struct Failed {
    std::shared_ptr<Link> link;
    std::string why;
  };

  // The link to a worker, new when there is none that works.
  Result<std::shared_ptr<Link>> link_to(ucp_worker_h worker, const Hello& peer);

  // The peer's half of this link is gone.  Closes it.  Not from inside UCX.
  void give_up(Link& link);

  // What has failed since the last call, closed by now: its connections are lost.  Not from inside UCX.
  std::vector<Failed> take_failed();

 private:
  void link_failed(Link& link, ucs_status_t status) override;
  void note(Link& link, std::string why);

  std::unordered_map<std::uint64_t, std::weak_ptr<Link>> links_;  // By the peer's instance.
  std::vector<Failed> failed_;
};

}  // namespace mobula::transport::ucx
