#include "core/worker/function_table.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

namespace mobula::runtime {

namespace {

// Entries by id in an open-addressed table.  Writers hold the mutex and publish each slot, and each larger table,
// with a release-store; readers take no lock.  Tables outgrown are kept: a reader may still be in one.
template <class Entry>
class Table {
 public:
  const Entry* find(std::uint64_t id) const {
    const Slots* slots = slots_.load(std::memory_order_acquire);
    return slots == nullptr ? nullptr : slots->find(id);
  }

  // The entry of that id that was there before, or null and `entry` is now.
  const Entry* add(const Entry& entry, const Entry** stored) {
    const std::scoped_lock lock(mutex_);
    if (const Entry* known = find(entry.id)) return *stored = known;
    if (used_ * 2 >= capacity_) grow();
    entries_.push_back(entry);
    all_.back()->place(&entries_.back());
    ++used_;
    *stored = &entries_.back();
    return nullptr;
  }

 private:
  struct Slots {
    explicit Slots(std::size_t n) : slot(n) {}
    const Entry* find(std::uint64_t id) const {
      for (std::size_t i = id;; ++i) {
        const Entry* entry = slot[i & (slot.size() - 1)].load(std::memory_order_acquire);
        if (entry == nullptr || entry->id == id) return entry;
      }
    }
    void place(const Entry* entry) {
      std::size_t i = entry->id;
      while (slot[i & (slot.size() - 1)].load(std::memory_order_relaxed) != nullptr) ++i;
      slot[i & (slot.size() - 1)].store(entry, std::memory_order_release);
    }
    std::vector<std::atomic<const Entry*>> slot;
  };

  void grow() {
    capacity_ = capacity_ == 0 ? 256 : capacity_ * 2;
    auto larger = std::make_unique<Slots>(capacity_);
    for (const Entry& entry : entries_) larger->place(&entry);
    all_.push_back(std::move(larger));
    slots_.store(all_.back().get(), std::memory_order_release);
  }

  std::mutex mutex_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::deque<Entry> entries_;
  std::vector<std::unique_ptr<Slots>> all_;
  std::atomic<const Slots*> slots_{nullptr};
};

// Never destroyed: static initialisers of any module fill them, static destructors may still call.
template <class Entry>
Table<Entry>& table() {
  static auto* const the_table = new Table<Entry>;
  return *the_table;
}

template <class F>
std::string place_of(F* code) {
  Dl_info info{};
  void* address = reinterpret_cast<void*>(code);
  if (::dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "an unknown module";
  char offset[32];
  std::snprintf(offset, sizeof offset, "+0x%zx",
                static_cast<std::size_t>(static_cast<char*>(address) - static_cast<char*>(info.dli_fbase)));
  return std::string(info.dli_fname) + offset;
}

[[noreturn]] void die_of_two(const FunctionEntry& first, const FunctionEntry& second) {
  std::fprintf(stderr,
               "mobula: two functions are called %s, and each is static or in an unnamed namespace, so that a worker "
               "could run the wrong one:\n  %s\n  %s\n  (addr2line -Cfe FILE OFFSET shows the lines.)  Rename one, or "
               "put it into a named namespace.\n",
               function_name(first).c_str(), place_of(first.invoke).c_str(), place_of(second.invoke).c_str());
  std::abort();
}

[[noreturn]] void die_of_hash(const FunctionEntry& first, const FunctionEntry& second) {
  std::fprintf(stderr,
               "mobula: the names of two remote functions have the same hash; rename one of them:\n  %s\n  %s\n",
               function_name(first).c_str(), function_name(second).c_str());
  std::abort();
}

// A tag holds its function's own mangled name, which tells more than the demangled tag: X ad L _Z... E.  What
// closes the tag behind it is tried off, letter by letter.
std::string function_inside(std::string_view mangled) {
  constexpr std::string_view kAddressOf = "XadL_Z";
  const std::size_t at = mangled.find(kAddressOf);
  if (at == mangled.npos) return {};
  std::string name(mangled.substr(at + kAddressOf.size() - 2));
  // Not when the name abbreviates what stood before it.
  if (name.starts_with("_ZNS_") || name.starts_with("_ZNKS_") || name.starts_with("_ZNS0") ||
      name.starts_with("_ZNKS0"))
    return {};
  for (int tries = 0; tries < 8 && !name.empty(); ++tries) {
    name.pop_back();
    if (const std::string text = demangle(name.c_str()); text != name) return text;
  }
  return {};
}

// The template arguments of a demangled tag.
std::string_view arguments_of(std::string_view tag, std::string_view prefix) {
  const std::size_t at = tag.find(prefix);
  if (at == tag.npos) return {};
  tag.remove_prefix(at + prefix.size());
  return tag.substr(0, tag.rfind('>'));
}

// Where the first template argument ends.
std::size_t end_of_first(std::string_view text) {
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '<' || text[i] == '(' || text[i] == '{') ++depth;
    if (text[i] == '>' || text[i] == ')' || text[i] == '}') --depth;
    if (text[i] == ',' && depth == 0) return i;
  }
  return text.size();
}

constexpr std::string_view kConstructorTags[] = {"detail::ConstructorTag<", "detail::MemberTag<"};

std::string constructor_name(std::string_view class_and_parameters) {
  const std::size_t end = end_of_first(class_and_parameters);
  const std::string name(class_and_parameters.substr(0, end));
  const std::size_t rest = class_and_parameters.find_first_not_of(", ", end);
  std::string out = name + "::" + name.substr(name.rfind(':') + 1) + "(";
  if (rest != class_and_parameters.npos) out += class_and_parameters.substr(rest);
  return out + ")";
}

}  // namespace

const FunctionEntry* register_function(const FunctionEntry& entry) {
  const FunctionEntry* stored = nullptr;
  const FunctionEntry* known = table<FunctionEntry>().add(entry, &stored);
  if (known != nullptr && known->invoke != entry.invoke) {
    if (std::string_view(known->name) != entry.name) die_of_hash(*known, entry);
    if (entry.internal_linkage) die_of_two(*known, entry);
  }
  return stored;
}

const FunctionEntry* find_function(std::uint64_t id) { return table<FunctionEntry>().find(id); }

const ConverterEntry* register_converter(const ConverterEntry& entry) {
  const ConverterEntry* stored = nullptr;
  table<ConverterEntry>().add(entry, &stored);
  return stored;
}

const ConverterEntry* find_converter(std::uint64_t id) { return table<ConverterEntry>().find(id); }

std::string demangle(const char* mangled) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                         &std::free);
  return status == 0 && text != nullptr ? std::string(text.get()) : std::string(mangled);
}

std::string function_name(const FunctionEntry& entry) {
  if (std::string name = function_inside(entry.name); !name.empty()) return name;
  const std::string tag = demangle(entry.name);
  for (const std::string_view prefix : kConstructorTags) {
    if (const auto found = arguments_of(tag, prefix); !found.empty()) return constructor_name(found);
  }
  for (const std::string_view prefix :
       {"detail::FunctionTag<", "detail::SplitTag<", "detail::MethodTag<", "detail::SplitMethodTag<"}) {
    auto found = arguments_of(tag, prefix);
    found = found.substr(0, end_of_first(found));
    if (found.ends_with("{}")) found.remove_suffix(2);  // A lambda.
    if (found.starts_with('&')) found.remove_prefix(1);
    if (found.starts_with('(') && found.ends_with(')')) found = found.substr(1, found.size() - 2);
    if (!found.empty()) return std::string(found);
  }
  return tag;
}

std::string class_name(const FunctionEntry& constructor) {
  const std::string tag = demangle(constructor.name);
  for (const std::string_view prefix : kConstructorTags) {
    const auto found = arguments_of(tag, prefix);
    if (!found.empty()) return std::string(found.substr(0, end_of_first(found)));
  }
  return function_name(constructor);
}

}  // namespace mobula::runtime
