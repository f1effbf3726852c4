#include "slurm/munge.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

namespace mobula::slurm {

using base::Code;
using base::Error;
using base::Result;

namespace {

// Of munge.h, whose ABI is libmunge.so.2.
constexpr int kSuccess = 0;
constexpr int kOptionCipher = 0, kOptionMac = 1, kOptionTtl = 4, kOptionSocket = 8, kOptionUid = 9;
constexpr int kCipherAes256 = 5, kMacSha256 = 5;
constexpr int kLifeSeconds = 60;  // Both ends ask for clocks that agree to this.

}  // namespace

struct Munge::Library {
  void* handle = nullptr;
  void* (*create)() = nullptr;
  void (*destroy)(void*) = nullptr;
  int (*set)(void*, int, ...) = nullptr;
  int (*encode)(char**, void*, const void*, int) = nullptr;
  int (*decode)(const char*, void*, void**, int*, uid_t*, gid_t*) = nullptr;
  const char* (*explain)(int) = nullptr;
  void* context = nullptr;

  template <class Function>
  bool find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(handle, name));
    return function != nullptr;
  }
  bool find_all() {
    return find(create, "munge_ctx_create") && find(destroy, "munge_ctx_destroy") && find(set, "munge_ctx_set") &&
           find(encode, "munge_encode") && find(decode, "munge_decode") && find(explain, "munge_strerror");
  }
  ~Library() {
    if (context != nullptr) destroy(context);
    if (handle != nullptr) ::dlclose(handle);
  }
};

Munge::Munge(std::unique_ptr<Library> library) : library_(std::move(library)) {}
Munge::~Munge() = default;

Result<std::unique_ptr<Munge>> Munge::open(const std::string& socket) {
  auto library = std::make_unique<Library>();
  library->handle = ::dlopen("libmunge.so.2", RTLD_NOW | RTLD_LOCAL);
  if (library->handle == nullptr || !library->find_all()) {
    return Error{Code::kUnavailable, "MUNGE's library (libmunge.so.2) is not on this host"};
  }
  library->context = library->create();
  if (library->context == nullptr) return Error{Code::kExhausted, "no memory for MUNGE"};
  if (!socket.empty()) (void)library->set(library->context, kOptionSocket, socket.c_str());
  (void)library->set(library->context, kOptionUid, ::geteuid());
  (void)library->set(library->context, kOptionTtl, kLifeSeconds);
  (void)library->set(library->context, kOptionCipher, kCipherAes256);
  (void)library->set(library->context, kOptionMac, kMacSha256);
  auto out = std::unique_ptr<Munge>(new Munge(std::move(library)));
  const auto answers = out->seal("");
  if (!answers) return answers.error();
  return out;
}

Result<std::string> Munge::seal(std::string_view bytes) const {
  char* credential = nullptr;
  const int code = library_->encode(&credential, library_->context, bytes.data(), static_cast<int>(bytes.size()));
  std::string out = credential == nullptr ? "" : credential;
  std::free(credential);
  if (code != kSuccess) return Error{Code::kUnavailable, std::string("MUNGE: ") + library_->explain(code)};
  return out;
}

Result<std::string> Munge::unseal(const std::string& credential) const {
  void* data = nullptr;
  int size = 0;
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  const int code = library_->decode(credential.c_str(), library_->context, &data, &size, &uid, &gid);
  std::string out(static_cast<const char*>(data), data == nullptr ? 0 : static_cast<std::size_t>(size));
  if (data != nullptr) ::explicit_bzero(data, static_cast<std::size_t>(size));
  std::free(data);
  if (code != kSuccess) return Error{Code::kDenied, std::string("MUNGE: ") + library_->explain(code)};
  if (uid != ::geteuid()) {
    return Error{Code::kDenied, "a credential of user " + std::to_string(uid) + ", not of this one"};
  }
  return out;
}

std::string munge_socket_of(std::string_view slurm_conf) {
  while (!slurm_conf.empty()) {
    const std::size_t end = slurm_conf.find('\n');
    const std::string_view line = slurm_conf.substr(0, end);
    constexpr std::string_view kKey = "AuthInfo=";
    constexpr std::string_view kSocket = "socket=";
    // Keys are of any case; no other begins like this one.
    if (line.size() > kKey.size() && ::strncasecmp(line.data(), kKey.data(), kKey.size()) == 0) {
      const std::size_t at = line.find(kSocket);
      if (at == std::string_view::npos) return {};
      const std::string_view path = line.substr(at + kSocket.size());
      return std::string(path.substr(0, path.find_first_of(", \t\r#")));
    }
    if (end == std::string_view::npos) break;
    slurm_conf.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace mobula::slurm
