#include "bench/transport/ucx_measured.h"

namespace mobula::bench {
namespace {

constexpr unsigned kMessageId = 1;

void check(ucs_status_t status, const char* what) {
  if (status != UCS_OK) die(std::string(what) + ": " + ucs_status_string(status));
}

}  // namespace

UcxMeasured::UcxMeasured(BenchPair& pair) : pair_(pair), landing_(std::size_t{64} << 20) {
  ucp_config_t* config = nullptr;
  check(ucp_config_read(nullptr, nullptr, &config), "ucp_config_read");
  check(ucp_config_modify(config, "TLS", "posix,self"), "UCX_TLS");
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES;
  params.features = UCP_FEATURE_AM;
  check(ucp_init(&params, config, &context_), "ucp_init");
  ucp_config_release(config);
  ucp_worker_params_t worker{};
  worker.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  worker.thread_mode = UCS_THREAD_MODE_SINGLE;
  check(ucp_worker_create(context_, &worker, &worker_), "ucp_worker_create");
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
  handler.id = kMessageId;
  handler.cb = &UcxMeasured::on_message;
  handler.arg = this;
  check(ucp_worker_set_am_recv_handler(worker_, &handler), "ucp_worker_set_am_recv_handler");
  ucp_address_t* address = nullptr;
  std::size_t size = 0;
  check(ucp_worker_get_address(worker_, &address, &size), "ucp_worker_get_address");
  pair.put_string({reinterpret_cast<const char*>(address), size});
  ucp_worker_release_address(worker_, address);
  const std::string theirs = pair.get_string();
  ucp_ep_params_t to{};
  to.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS;
  to.address = reinterpret_cast<const ucp_address_t*>(theirs.data());
  check(ucp_ep_create(worker_, &to, &endpoint_), "ucp_ep_create");
}

UcxMeasured::~UcxMeasured() {
  ucp_worker_destroy(worker_);
  ucp_cleanup(context_);
}

ucs_status_t UcxMeasured::on_message(void* self, const void*, std::size_t, void* data, std::size_t bytes,
                                     const ucp_am_recv_param_t* param) {
  auto* me = static_cast<UcxMeasured*>(self);
  if ((param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) == 0) {
    ++me->received_;
    return UCS_OK;
  }
  ucp_request_param_t receive{};
  receive.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
  receive.user_data = me;
  receive.cb.recv_am = [](void* request, ucs_status_t, std::size_t, void* user) {
    ++static_cast<UcxMeasured*>(user)->received_;
    ucp_request_free(request);
  };
  const void* started = ucp_am_recv_data_nbx(me->worker_, data, me->landing_.data(), bytes, &receive);
  if (UCS_PTR_IS_ERR(started)) die("ucp_am_recv_data_nbx");
  return UCS_INPROGRESS;
}

void UcxMeasured::finish(void* request) {
  if (request == nullptr) return;
  if (UCS_PTR_IS_ERR(request)) die("ucp_am_send_nbx");
  while (ucp_request_check_status(request) == UCS_INPROGRESS) ucp_worker_progress(worker_);
  ucp_request_free(request);
}

void UcxMeasured::send(std::size_t bytes) {
  ucp_request_param_t param{};
  finish(ucp_am_send_nbx(endpoint_, kMessageId, nullptr, 0, payload_.data(), bytes, &param));
}

std::vector<double> UcxMeasured::round_trips(int count, std::size_t bytes) {
  payload_.resize(bytes);
  std::vector<double> samples;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t next = received_ + 1;
    if (!pair_.leads()) {
      spin_until(next);
      send(bytes);
      continue;
    }
    const auto start = Clock::now();
    send(bytes);
    spin_until(next);
    samples.push_back(microseconds_since(start));
  }
  return samples;
}

double UcxMeasured::stream(int count, std::size_t bytes) {
  payload_.resize(bytes);
  if (!pair_.leads()) {
    spin_until(received_ + static_cast<std::uint64_t>(count));
    send(1);
    return 0;
  }
  const std::uint64_t next = received_ + 1;
  const auto start = Clock::now();
  for (int i = 0; i < count; ++i) send(bytes);
  spin_until(next);
  return microseconds_since(start);
}

double UcxMeasured::answered(int count, std::size_t bytes, int in_flight) {
  payload_.resize(bytes);
  const std::uint64_t before = received_;
  const auto wanted = static_cast<std::uint64_t>(count);
  const auto window = static_cast<std::uint64_t>(in_flight);
  std::uint64_t sent = 0;
  const auto start = Clock::now();
  while (received_ - before < wanted || sent < wanted) {
    const std::uint64_t received = received_ - before;
    // The leader keeps its window full; the follower answers what came.
    const std::uint64_t until = std::min(wanted, pair_.leads() ? received + window : received);
    for (; sent < until; ++sent) send(bytes);
    ucp_worker_progress(worker_);
  }
  return microseconds_since(start);
}

}  // namespace mobula::bench
