#include "core/crypto/key_agreement.h"

#include <openssl/evp.h>

#include "core/crypto/openssl.h"

namespace mobula::crypto {

using base::Code;
using base::Error;
using base::Result;

struct KeyAgreement::Pair {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519");
  ~Pair() { EVP_PKEY_free(key); }
};

KeyAgreement::KeyAgreement() : pair_(std::make_unique<Pair>()) {
  std::size_t size = public_key_.size();
  require(pair_->key != nullptr && EVP_PKEY_get_raw_public_key(pair_->key, raw(base::Bytes(public_key_)), &size) == 1 &&
              size == public_key_.size(),
          "X25519");
}
KeyAgreement::~KeyAgreement() = default;

Result<Key> KeyAgreement::shared_with(const PublicKey& theirs) const {
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> peer(
      EVP_PKEY_new_raw_public_key_ex(nullptr, "X25519", nullptr, raw(base::ConstBytes(theirs)), theirs.size()),
      EVP_PKEY_free);
  const std::unique_ptr<EVP_PKEY_CTX, void (*)(EVP_PKEY_CTX*)> context(EVP_PKEY_CTX_new(pair_->key, nullptr),
                                                                       EVP_PKEY_CTX_free);
  require(peer != nullptr && context != nullptr && EVP_PKEY_derive_init(context.get()) == 1 &&
              EVP_PKEY_derive_set_peer(context.get(), peer.get()) == 1,
          "X25519");
  Key out{};
  std::size_t size = out.size();
  // Fails where the value is zero, as a point of small order makes it.
  if (EVP_PKEY_derive(context.get(), raw(base::Bytes(out)), &size) != 1 || size != out.size())
    return Error{Code::kDenied, "a public key that hides nothing"};
  return out;
}

}  // namespace mobula::crypto
