#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mobula::runtime {

class Invocation;

enum class FunctionKind : std::uint8_t { kTask, kConstructor, kMethod };

// How a worker runs one of the user's functions.  One per function, filled by static initialisers in every
// process of the job, so a task names it by `id` alone.
struct FunctionEntry {
  std::uint64_t id;  // hash64(name).
  const char* name;  // Mangled name of the tag type that holds the function; unique per signature.
  FunctionKind kind;
  bool internal_linkage;  // Of an unnamed namespace or static: two of one name may differ.
  // Decodes the arguments, runs the function, hands over the results.  May throw whatever the user's code
  // throws; may return before the end when the function is a coroutine (Invocation::suspend).
  void (*invoke)(Invocation& invocation);
};

// The table of remote functions.  Registration happens before main, or in dlopen; look-ups are lock-free after
// it.  The entry kept is the first of its id; a second of another module is dropped when it is the same external or
// template function, and ends the process with a message that names both when it has internal linkage, since the
// wrong one could run.
const FunctionEntry* register_function(const FunctionEntry& entry);
const FunctionEntry* find_function(std::uint64_t id);  // Null when this binary has none.

// A Ref<U> given where a P is wanted: decodes a U and converts.  Registered the same way.
struct ConverterEntry {
  std::uint64_t id;  // hash64 of the mangled pair type.
  // Decodes a U from `decoder` and writes a P, by placement new, to `to`.
  void (*convert)(class Decoder& decoder, void* to);
};
const ConverterEntry* register_converter(const ConverterEntry& entry);
const ConverterEntry* find_converter(std::uint64_t id);

std::string demangle(const char* mangled);
// "ns::f(int)" from the tag's mangled name, for people.
std::string function_name(const FunctionEntry& entry);
// "ns::C" of a constructor.
std::string class_name(const FunctionEntry& constructor);

}  // namespace mobula::runtime
