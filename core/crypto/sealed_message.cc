#include "core/crypto/sealed_message.h"

#include <array>
#include <memory>

#include <openssl/evp.h>

#include "core/crypto/openssl.h"

namespace mobula::crypto {

using base::Code;
using base::Error;
using base::Result;

namespace {

constexpr const char* kWhat = "AES-256-GCM";
constexpr std::array<unsigned char, 12> kNonce{};

using Context = std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)>;

enum class Way { kOpen, kSeal };

Context begin(const Key& key, Way way, base::ConstBytes about) {
  Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int ignored = 0;
  require(context != nullptr &&
              EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, raw(base::ConstBytes(key)), kNonce.data(),
                                way == Way::kSeal ? 1 : 0) == 1 &&
              EVP_CipherUpdate(context.get(), nullptr, &ignored, raw(about), static_cast<int>(about.size())) == 1,
          kWhat);
  return context;
}

unsigned char* raw(std::string& text, std::size_t at = 0) { return reinterpret_cast<unsigned char*>(text.data() + at); }

}  // namespace

std::string seal_message(const Key& key, base::ConstBytes about, std::string_view message) {
  const Context context = begin(key, Way::kSeal, about);
  std::string out(message.size() + kSealBytes, '\0');
  int size = 0;
  int rest = 0;
  require(EVP_CipherUpdate(context.get(), raw(out), &size, raw(base::as_bytes(message)),
                           static_cast<int>(message.size())) == 1 &&
              EVP_CipherFinal_ex(context.get(), raw(out, message.size()), &rest) == 1 &&
              EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kSealBytes, raw(out, message.size())) == 1,
          kWhat);
  return out;
}

Result<std::string> open_sealed(const Key& key, base::ConstBytes about, std::string_view sealed) {
  const Error denied{Code::kDenied, "a message that was sealed under another key, or changed"};
  if (sealed.size() < kSealBytes) return denied;
  const Context context = begin(key, Way::kOpen, about);
  const std::size_t message_bytes = sealed.size() - kSealBytes;
  std::string tag(sealed.substr(message_bytes));
  std::string out(message_bytes + 1, '\0');  // Room for what Final says that it writes.
  int size = 0;
  int rest = 0;
  const bool whole = EVP_CipherUpdate(context.get(), raw(out), &size, raw(base::as_bytes(sealed)),
                                      static_cast<int>(message_bytes)) == 1 &&
                     EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kSealBytes, raw(tag)) == 1 &&
                     EVP_CipherFinal_ex(context.get(), raw(out, message_bytes), &rest) == 1;
  if (!whole) {
    wipe(base::Bytes(reinterpret_cast<std::byte*>(out.data()), out.size()));
    return denied;
  }
  out.resize(message_bytes);
  return out;
}

}  // namespace mobula::crypto
