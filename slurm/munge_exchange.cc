#include "slurm/munge_exchange.h"

#include <utility>

#include "core/base/bytes.h"
#include "core/crypto/sealed_message.h"
#include "core/os/random.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::uint32_t kJoin = 0x32'4e'4f'4a;     // "JON2"
constexpr std::uint32_t kWelcome = 0x32'4c'45'57;  // "WEL2"

using Nonce = std::array<std::byte, 32>;

struct Head {
  Nonce nonce{};
  crypto::PublicKey key{};
};

base::Buffer encode_head(std::uint32_t kind, const JoinScope& scope, const Head& head) {
  base::Buffer out;
  out.put(kind);
  out.put(static_cast<std::uint64_t>(scope.uid));
  out.put_string(scope.start);
  out.put(head.nonce);
  out.put(head.key);
  return out;
}

Result<Head> decode_head(base::Cursor& in, std::uint32_t kind, const JoinScope& scope) {
  const auto theirs = in.get<std::uint32_t>();
  const auto uid = in.get<std::uint64_t>();
  const auto start = in.get_string();
  Head out;
  out.nonce = in.get<Nonce>();
  out.key = in.get<crypto::PublicKey>();
  if (!in.ok() || theirs != kind) return Error{Code::kInvalid, "no part of a rendezvous of this version of Mobula"};
  if (uid != scope.uid) {
    return Error{Code::kDenied,
                 "it is of user " + std::to_string(uid) + ", this process of user " + std::to_string(scope.uid)};
  }
  if (start != scope.start)
    return Error{Code::kDenied, "it is of start " + std::string(start) + ", this process of start " + scope.start};
  return out;
}

// All that went before the invitation; the key hangs on it, so that none of it can be changed.
std::string transcript(std::string_view join, const base::Buffer& welcome_head) {
  base::Buffer out;
  out.put_string(join);
  out.append(welcome_head.view());
  return std::string(base::as_string_view(out.view()));
}

Result<crypto::Key> key_of(const crypto::KeyAgreement& ours, const crypto::PublicKey& theirs, const Nonce& nonce,
                           std::string_view transcript) {
  auto shared = ours.shared_with(theirs);
  if (!shared) return shared.error();
  const crypto::Key hash = crypto::sha256(base::as_bytes(transcript));
  const crypto::Key out = crypto::hkdf_sha256(*shared, nonce, "mobula rendezvous", hash);
  crypto::wipe(*shared);
  return out;
}

}  // namespace

JoinQuestion::JoinQuestion(JoinScope scope) : scope_(std::move(scope)) {
  os::fill_random(nonce_.data(), nonce_.size());
  const base::Buffer head = encode_head(kJoin, scope_, {.nonce = nonce_, .key = key_.public_key()});
  bytes_ = base::as_string_view(head.view());
}

Result<std::string> JoinQuestion::open(std::string_view welcome) const {
  base::Cursor in(base::as_bytes(welcome));
  const auto head = decode_head(in, kWelcome, scope_);
  if (!head) return head.error();
  if (head->nonce != nonce_) return Error{Code::kDenied, "an answer to somebody else's question"};
  const std::string about = transcript(bytes_, encode_head(kWelcome, scope_, *head));
  auto key = key_of(key_, head->key, nonce_, about);
  if (!key) return key.error();
  auto invitation = crypto::open_sealed(*key, base::as_bytes(about), base::as_string_view(in.take(in.left())));
  crypto::wipe(*key);
  return invitation;
}

Result<std::string> answer_join(std::string_view join, const JoinScope& scope, std::string_view invitation) {
  base::Cursor in(base::as_bytes(join));
  const auto question = decode_head(in, kJoin, scope);
  if (!question) return question.error();
  if (in.left() != 0) return Error{Code::kInvalid, "no part of a rendezvous of this version of Mobula"};
  const crypto::KeyAgreement pair;
  base::Buffer head = encode_head(kWelcome, scope, {.nonce = question->nonce, .key = pair.public_key()});
  const std::string about = transcript(join, head);
  auto key = key_of(pair, question->key, question->nonce, about);
  if (!key) return key.error();
  head.append(base::as_bytes(crypto::seal_message(*key, base::as_bytes(about), invitation)));
  crypto::wipe(*key);
  return std::string(base::as_string_view(head.view()));
}

}  // namespace mobula::slurm
