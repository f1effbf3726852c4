#include "core/crypto/mac.h"

#include <memory>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "core/crypto/openssl.h"

namespace mobula::crypto {
namespace {

// Fetched once: a fetch takes longer than the MAC itself.
EVP_MAC* hmac() {
  static EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  return mac;
}
EVP_KDF* hkdf() {
  static EVP_KDF* const kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  return kdf;
}

char kSha256[] = "SHA256";  // OSSL_PARAM takes it without const.

}  // namespace

Key hmac_sha256(const Key& key, std::string_view label, base::ConstBytes a, base::ConstBytes b) {
  const std::unique_ptr<EVP_MAC_CTX, void (*)(EVP_MAC_CTX*)> ctx(EVP_MAC_CTX_new(hmac()), EVP_MAC_CTX_free);
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, kSha256, 0),
                               OSSL_PARAM_construct_end()};
  Key out{};
  std::size_t size = 0;
  const bool ok = ctx != nullptr && EVP_MAC_init(ctx.get(), raw(key), key.size(), params) == 1 &&
                  EVP_MAC_update(ctx.get(), raw(base::as_bytes(label)), label.size()) == 1 &&
                  EVP_MAC_update(ctx.get(), raw(a), a.size()) == 1 &&
                  (b.empty() || EVP_MAC_update(ctx.get(), raw(b), b.size()) == 1) &&
                  EVP_MAC_final(ctx.get(), raw(base::Bytes(out)), &size, out.size()) == 1;
  require(ok && size == out.size(), "HMAC-SHA256");
  return out;
}

Key sha256(base::ConstBytes bytes) {
  Key out{};
  unsigned size = 0;
  const bool ok = EVP_Digest(bytes.data(), bytes.size(), raw(base::Bytes(out)), &size, EVP_sha256(), nullptr) == 1;
  require(ok && size == out.size(), "SHA-256");
  return out;
}

Key hkdf_sha256(const Key& secret, base::ConstBytes salt, std::string_view label, base::ConstBytes context) {
  base::Buffer info;
  info.put_string(label);
  info.append(context);
  auto* const secret_bytes = const_cast<std::byte*>(secret.data());
  // Without a salt RFC 5869 takes zeros, which HMAC pads a key with anyway; OpenSSL refuses a null pointer.
  static std::byte no_salt{};
  auto* const salt_bytes = salt.empty() ? &no_salt : const_cast<std::byte*>(salt.data());
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, kSha256, 0),
                               OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret_bytes, secret.size()),
                               OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt_bytes, salt.size()),
                               OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
                               OSSL_PARAM_construct_end()};
  const std::unique_ptr<EVP_KDF_CTX, void (*)(EVP_KDF_CTX*)> ctx(EVP_KDF_CTX_new(hkdf()), EVP_KDF_CTX_free);
  Key out{};
  require(ctx != nullptr && EVP_KDF_derive(ctx.get(), raw(base::Bytes(out)), out.size(), params) == 1, "HKDF-SHA256");
  return out;
}

bool equal_in_constant_time(base::ConstBytes a, base::ConstBytes b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void wipe(base::Bytes secret) { OPENSSL_cleanse(secret.data(), secret.size()); }

}  // namespace mobula::crypto
