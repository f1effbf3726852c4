#include "mobula/archive.h"

#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "core/api/runtime_access.h"
#include "mobula/errors.h"

namespace mobula {
namespace {

// As payloads lie in memory.
std::shared_ptr<std::byte> aligned_block(std::size_t bytes) {
  constexpr std::align_val_t kAlign{runtime::kBufferAlign};
  auto* memory = static_cast<std::byte*>(::operator new(bytes + 1, kAlign));
  return {memory, [](std::byte* p) { ::operator delete(p, kAlign); }};
}

}  // namespace

// Each value is its payload's length and the payload.
void Archive::append(runtime::Encoder& out) {
  if (!out.refs().empty()) {
    detail::throw_invalid("a Ref or an ActorHandle cannot be saved: it means nothing in another run",
                          "save the value: get() it, or give the actor a save() of its own");
  }
  const std::size_t size = out.payload_bytes();
  const auto block = aligned_block(size);
  out.flatten(block.get());
  out_->put(static_cast<std::uint64_t>(size));
  out_->append(block.get(), size);
}

runtime::Decoder Archive::next() {
  base::Cursor cursor(in_);
  const auto size = cursor.get<std::uint64_t>();
  if (!cursor.ok() || size > cursor.left()) {
    detail::throw_invalid("the saved state holds fewer values than are read",
                          "load() reads what save() wrote, in its order");
  }
  const base::ConstBytes bytes = in_.subspan(sizeof size, static_cast<std::size_t>(size));
  in_ = in_.subspan(sizeof size + bytes.size());
  const auto block = aligned_block(bytes.size());
  if (!bytes.empty()) std::memcpy(block.get(), bytes.data(), bytes.size());
  return Decoder::payload({{block.get(), bytes.size()}, block});
}

void Archive::check(const Decoder& in) const {
  if (in.ok() && in.left() == 0) return;
  detail::throw_invalid(
      "the saved state holds a value of another type than is read",
      "load() reads what save() wrote, in its order; a changed class needs a version number of its own");
}

void Archive::refuse_const() { detail::throw_invalid("load() cannot set a value that is const"); }

void on_preempt(std::function<void()> callback) {
  const auto added = detail::InSession()->on_preempt(std::move(callback));
  if (!added) detail::throw_error(added.error());
}

bool preempted() { return detail::InSession()->preempted(); }

std::optional<Resumed> resumed() {
  auto run = detail::InSession()->resumed();
  if (!run) return std::nullopt;
  return Resumed{run->run, std::move(run->directory)};
}

namespace detail {

void save_bytes(std::string_view name, base::ConstBytes bytes) {
  const auto written = InSession()->save_state(name, bytes);
  if (written) return;
  throw_invalid("\"" + std::string(name) + "\" cannot be saved: " + written.error().what,
                "set MOBULA_STATE_DIRECTORY to a directory that all nodes share");
}

std::optional<std::vector<std::byte>> load_bytes(std::string_view name) {
  auto bytes = InSession()->load_state(name);
  if (bytes) return std::move(*bytes);
  if (bytes.error().code == base::Code::kNotFound) return std::nullopt;
  throw_invalid("\"" + std::string(name) + "\" cannot be loaded: " + bytes.error().what,
                "remove the damaged file to go on without it");
}

std::optional<base::ErrorInfo> guard_state(const char* function, const std::function<void()>& body) {
  try {
    body();
    return std::nullopt;
  } catch (...) {
    return capture_current_exception(function);
  }
}

}  // namespace detail
}  // namespace mobula
