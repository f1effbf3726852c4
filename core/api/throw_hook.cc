// Stands alone: the compilers disagree on how <cxxabi.h> declares what is defined here.
#include "core/api/throw_hook.h"

#include <dlfcn.h>

#include <typeinfo>

// Weak: there only with AddressSanitizer, which wants to know that frames are left.
extern "C" __attribute__((weak)) void __asan_handle_no_return();

extern "C" __attribute__((noreturn, visibility("default"))) void __cxa_throw(void* thrown, std::type_info* type,
                                                                             void (*destroy)(void*)) {
  using Throw = void (*)(void*, std::type_info*, void (*)(void*));
  static const Throw next = reinterpret_cast<Throw>(::dlsym(RTLD_NEXT, "__cxa_throw"));
  mobula::detail::note_throw(thrown, __builtin_return_address(0));
  if (__asan_handle_no_return != nullptr) __asan_handle_no_return();
  next(thrown, type, destroy);
  __builtin_unreachable();
}

namespace mobula::detail {
void hook_throws() {}
}  // namespace mobula::detail
