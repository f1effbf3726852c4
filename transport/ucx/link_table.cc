#include "transport/ucx/link_table.h"

#include <utility>

namespace mobula::transport::ucx {

Result<std::shared_ptr<Link>> LinkTable::link_to(ucp_worker_h worker, const Hello& peer) {
  if (const auto it = links_.find(peer.instance); it != links_.end()) {
    if (auto link = it->second.lock(); link != nullptr && !link->closed()) return link;
  }
  auto link = Link::open({worker, peer.instance, peer.address}, *this);
  if (!link) return link;
  std::erase_if(links_, [](const auto& entry) { return entry.second.expired(); });
  links_.insert_or_assign(peer.instance, *link);
  return link;
}

void LinkTable::give_up(Link& link) {
  note(link, "the peer has dropped its half of the link");
  link.close();
}

std::vector<LinkTable::Failed> LinkTable::take_failed() {
  std::vector<Failed> failed = std::exchange(failed_, {});
  for (Failed& entry : failed) entry.link->close();
  return failed;
}

void LinkTable::link_failed(Link& link, ucs_status_t status) {
  note(link, std::string("UCX lost the peer: ") + ucs_status_string(status));
}

// From here on nobody gets this link any more.
void LinkTable::note(Link& link, std::string why) {
  const auto it = links_.find(link.instance());
  if (it == links_.end()) return;
  auto shared = it->second.lock();
  if (shared.get() != &link) return;
  links_.erase(it);
  failed_.push_back({std::move(shared), std::move(why)});
}

}  // namespace mobula::transport::ucx
