#pragma once

namespace mobula::detail {

// Links the hook into the program; it stands before the C++ library's __cxa_throw.
void hook_throws();
// Called with the exception object and the return address at every throw, on the thread that throws.
void note_throw(const void* thrown, const void* thrower);

}  // namespace mobula::detail
