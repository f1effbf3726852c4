#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace mobula::slurm {

// The site's MUNGE service, through libmunge, which is opened when this is made.
//
// A credential is encrypted under a key that only the munged of the site's hosts have, and they open it for processes
// of this user alone (and root's); who has made it, they say.
class Munge {
 public:
  // `socket`: of munged; empty: the library's default.  kUnavailable when the library or the service is not there.
  static base::Result<std::unique_ptr<Munge>> open(const std::string& socket);
  ~Munge();
  Munge(const Munge&) = delete;
  Munge& operator=(const Munge&) = delete;

  base::Result<std::string> seal(std::string_view bytes) const;
  // kDenied when it was made by another user, is too old, was opened before, or is no credential.
  base::Result<std::string> unseal(const std::string& credential) const;

 private:
  struct Library;
  explicit Munge(std::unique_ptr<Library> library);
  const std::unique_ptr<Library> library_;
};

// What slurm.conf says of munged's socket ("AuthInfo=...,socket=PATH"); empty when nothing.
std::string munge_socket_of(std::string_view slurm_conf);

}  // namespace mobula::slurm
