#include "transport/ucx/link.h"

#include <array>

#include "core/os/random.h"
#include "transport/ucx/context.h"

namespace mobula::transport::ucx {
namespace {

// UCX unpacks addresses and keys without being told where they end.  Ours are followed by zeros, which end
// every list in them: 64 memory domains with 255 bytes each is the most that a key can name.
constexpr std::size_t kPaddingBytes = 64 * 256;

std::string padded(ConstBytes bytes) {
  std::string out;
  out.reserve(bytes.size() + kPaddingBytes);
  out.append(base::as_string_view(bytes));
  out.append(kPaddingBytes, '\0');
  return out;
}

}  // namespace

Link::Link(std::uint64_t instance, Owner& owner) : owner_(owner), instance_(instance) {
  os::fill_random(&id_, sizeof id_);
}

Result<std::shared_ptr<Link>> Link::open(const Options& options, Owner& owner) {
  std::shared_ptr<Link> link(new Link(options.instance, owner));
  const std::string address = padded(base::as_bytes(options.address));
  ucp_ep_params_t params{};
  params.field_mask =
      UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.cb = &Link::on_failure;
  params.err_handler.arg = link.get();
  const ucs_status_t status = ucp_ep_create(options.worker, &params, &link->ep_);
  if (status == UCS_OK) return link;
  link->ep_ = nullptr;
  return error_of("making a UCX endpoint", status);
}

Link::~Link() {
  close();
  for (auto& [region, rkey] : rkeys_) ucp_rkey_destroy(rkey.handle);
}

void Link::on_failure(void* link, ucp_ep_h, ucs_status_t status) {
  auto& self = *static_cast<Link*>(link);
  self.owner_.link_failed(self, status);
}

void Link::close() {
  if (ep_ == nullptr) return;
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = UCP_EP_CLOSE_FLAG_FORCE;
  const ucs_status_ptr_t request = ucp_ep_close_nbx(ep_, &param);
  if (UCS_PTR_IS_PTR(request)) ucp_request_free(request);
  ep_ = nullptr;
}

Result<Rkey*> Link::rkey_of(const RegionKey& key) {
  if (const auto it = rkeys_.find(key.region); it != rkeys_.end()) return &it->second;
  if (rkeys_.size() >= kRkeysMax) drop_unused_rkeys();
  const std::string bytes = padded(key.rkey);
  ucp_rkey_h handle = nullptr;
  const ucs_status_t status = ucp_ep_rkey_unpack(ep_, bytes.data(), &handle);
  if (status != UCS_OK) return error_of("unpacking a region's remote key", status);
  return &rkeys_.emplace(key.region, Rkey{handle, 0}).first->second;
}

void Link::drop_unused_rkeys() {
  std::erase_if(rkeys_, [](auto& entry) {
    if (entry.second.uses != 0) return false;
    ucp_rkey_destroy(entry.second.handle);
    return true;
  });
}

}  // namespace mobula::transport::ucx
