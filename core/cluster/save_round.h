#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/base/proto/control.pb.h"
#include "core/rpc/rpc.h"

namespace mobula::cluster {

// One SAVE_STATE passed on to many: adds up their answers, and gives the sum when the last has come or is late.  Each
// has four fifths of the asker's patience, so that what the others say is not lost with one who is late.
class SaveRound final {
 public:
  SaveRound(const proto::SaveState& request, rpc::Responder responder)
      : request_(request), sum_(std::make_shared<Sum>()) {
    sum_->to = std::move(responder);
    request_.set_patience_ms(request.patience_ms() * 4 / 5);
  }

  void ask(rpc::Rpc& rpc, const std::string& whom) {
    const auto patience = std::chrono::milliseconds(request_.patience_ms());
    rpc.ask<proto::StateSaved>(proto::SAVE_STATE, request_, patience,
                               [sum = sum_, whom](base::Result<proto::StateSaved> answer) {
                                 if (!answer) return sum->total.add_errors(whom + ": " + answer.error().what);
                                 sum->total.set_actors(sum->total.actors() + answer->actors());
                                 sum->total.set_saved(sum->total.saved() + answer->saved());
                                 for (const auto& error : answer->errors()) sum->total.add_errors(error);
                               });
  }

 private:
  struct Sum {
    rpc::Responder to;
    proto::StateSaved total;
    ~Sum() { to.reply(total); }
  };
  proto::SaveState request_;
  std::shared_ptr<Sum> sum_;
};

}  // namespace mobula::cluster
