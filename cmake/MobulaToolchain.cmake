# Compiler, linker and flags: everything that every target shares.
include_guard(GLOBAL)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_ENABLE_EXPORTS ON)  # -rdynamic: stack traces carry names.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
# Assertions stay on: they guard invariants of the control plane, where they cost nothing.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1")

find_program(MOBULA_CCACHE ccache)
if(MOBULA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The sloppiness is what ccache asks for where headers are precompiled.
  set(launcher /usr/bin/env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
               ${MOBULA_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
endif()

find_program(MOBULA_MOLD mold)
find_program(MOBULA_LLD ld.lld)
if(MOBULA_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(MOBULA_LLD)
  add_link_options(-fuse-ld=lld)
endif()
add_link_options(-Wl,--build-id=sha1 -Wl,-z,noexecstack -Wl,-z,relro)

add_compile_options(-fno-omit-frame-pointer)
if(MOBULA_SANITIZE)
  # -O1: half the time to compile, and stacks that can be read.
  add_compile_options(-fsanitize=${MOBULA_SANITIZE} -fno-sanitize-recover=all -O1)
  add_link_options(-fsanitize=${MOBULA_SANITIZE})
  add_compile_definitions(MOBULA_SANITIZED=1)
endif()
if(MOBULA_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "MOBULA_FUZZ needs clang: its libFuzzer drives the targets")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()

set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)  # A folder finds what it uses; who links the folder needs it too.
find_package(Threads REQUIRED)

# What each of our targets compiles with; kept off third-party and generated code.
add_library(mobula_options INTERFACE)
target_compile_options(mobula_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  # g++'s -Wconversion leaves signs alone; both compilers are to accept the same code.
  target_compile_options(mobula_options INTERFACE -Wthread-safety -Wno-sign-conversion
                                                  -Wno-missing-field-initializers)
else()
  target_compile_options(mobula_options INTERFACE -Wno-missing-field-initializers)
endif()
if(MOBULA_SANITIZE AND NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
  # g++ 12 sees values as uninitialised behind its own instrumentation; the plain build checks them.
  target_compile_options(mobula_options INTERFACE -Wno-maybe-uninitialized)
endif()
if(MOBULA_WERROR)
  target_compile_options(mobula_options INTERFACE -Werror)
endif()
