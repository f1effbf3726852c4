#include "mobula/options.h"

#include <atomic>
#include <cmath>
#include <mutex>
#include <unordered_map>

#include "core/api/option_checks.h"
#include "core/api/runtime_access.h"
#include "mobula/detail/call.h"
#include "mobula/group.h"
#include "scheduler/strategy.h"

namespace mobula::detail {

struct TaskOptionsSlot {
  runtime::TaskSpecOptions spec;
  // Session number and handle: a handle holds for one runtime.
  mutable std::atomic<std::uint64_t> interned{0};
};

namespace {

void require(bool ok, const char* what) {
  if (!ok) throw_invalid(what);
}

std::map<std::string, std::string> selectors_of(const LabelView& labels) {
  std::map<std::string, std::string> out;
  labels.for_each([&](std::string_view name, std::string_view value) { add_selector(out, name, value); });
  return out;
}

template <class Options>
runtime::Strategy strategy_of(const Options& o) {
  runtime::Strategy out;
  if (std::holds_alternative<Spread>(o.scheduling)) out.kind = runtime::Spread{};
  if (const auto* affinity = std::get_if<NodeAffinity>(&o.scheduling)) {
    require(!affinity->node.empty(),
            "option scheduling: NodeAffinity needs a node: its id, the beginning of it, or a host");
    out.kind = runtime::NodeAffinity{checked_name(affinity->node, "node"), affinity->soft};
  }
  out.labels = selectors_of(o.labels);
  o.fallbacks.for_each([&](const LabelView& labels) { out.fallbacks.push_back(selectors_of(labels)); });
  out.beside = selectors_of(o.beside);
  if (!o.accelerator_type.empty()) {
    const std::string type = checked_name(o.accelerator_type, "accelerator_type");
    out.labels.emplace(scheduler::kAcceleratorLabel, type);
    for (auto& labels : out.fallbacks) labels.emplace(scheduler::kAcceleratorLabel, type);
  }
  require(o.priority >= -scheduler::kPriorityMax && o.priority <= scheduler::kPriorityMax,
          "option priority: a number between -1000 and 1000");
  out.priority = o.priority;
  return out;
}

template <class Options>
void check_common(const Options& o) {
  require(o.isolation == Isolation::shared, "option isolation: this version runs every task in a shared worker");
  bool env = false;
  o.runtime_env.env.for_each([&](std::string_view, std::string_view) { env = true; });
  require(!env && o.runtime_env.working_dir.empty(),
          "option runtime_env: this version gives workers the driver's environment and working directory");
  require(o.bundle >= -1, "option bundle: a bundle's index, or -1 for any");
  require(o.bundle == -1 || !o.placement_group.id.is_nil(), "option bundle: needs placement_group");
}
template <class Options>
runtime::ActorSpecOptions actor_spec(const Options& o) {
  check_common(o);
  require(o.max_restarts >= -1, "option max_restarts: a count, or -1 for ever");
  require(o.max_task_retries >= -1, "option max_task_retries: a count, or -1 for ever");
  require(o.max_concurrency >= 1, "option max_concurrency: at least 1");
  require(o.max_pending_calls >= -1, "option max_pending_calls: a count, or -1 for no limit");
  runtime::ActorSpecOptions out;
  out.resources = resources_of(o);
  out.max_restarts = o.max_restarts;
  out.max_task_retries = o.max_task_retries;
  out.max_concurrency = o.max_concurrency;
  out.max_pending_calls = o.max_pending_calls;
  out.name = checked_name(o.name, "name");
  out.ns = checked_name(o.ns, "ns");
  out.detached = o.lifetime == Lifetime::detached;
  require(!out.detached || !out.name.empty(), "option lifetime: a detached actor needs a name to be found by");
  out.strategy = strategy_of(o);
  out.placement_group = o.placement_group.id;
  out.bundle = o.bundle;
  o.actor_labels.for_each([&](std::string_view name, std::string_view value) {
    out.labels[checked_name(name, "a label's name")] = checked_name(value, "a label's value");
  });
  return out;
}

runtime::TaskSpecOptions task_spec(const TaskOptions& o) {
  check_common(o);
  require(o.max_retries >= -1, "option max_retries: a count, or -1 for ever");
  runtime::TaskSpecOptions out;
  out.resources = resources_of(o);
  out.max_retries = o.max_retries;
  out.retry_exceptions = o.retry_exceptions;
  out.name = checked_name(o.name, "name");
  out.strategy = strategy_of(o);
  out.placement_group = o.placement_group.id;
  out.bundle = o.bundle;
  out.estimate = o.estimate;
  return out;
}

std::uint64_t mix(std::uint64_t h, std::uint64_t v) { return base::mix64(h ^ v); }
std::uint64_t mix(std::uint64_t h, std::string_view s) { return mix(h, base::hash64(s)); }
std::uint64_t mix(std::uint64_t h, double v) { return mix(h, std::bit_cast<std::uint64_t>(v)); }

std::uint64_t hash_of(const TaskOptions& o) {
  std::uint64_t h = mix(mix(mix(1, o.cpus), o.gpus), static_cast<std::uint64_t>(o.memory));
  o.resources.for_each([&](std::string_view name, double amount) { h = mix(mix(h, name), amount); });
  h = mix(h, static_cast<std::uint64_t>(static_cast<std::uint32_t>(o.max_retries)) << 1 | (o.retry_exceptions ? 1 : 0));
  h = mix(h, o.name);
  h = mix(h, o.accelerator_type);
  const auto mix_labels = [&h](const LabelView& labels) {
    h = mix(h, std::uint64_t{1});  // Where the list begins.
    labels.for_each([&](std::string_view name, std::string_view value) { h = mix(mix(h, name), value); });
  };
  mix_labels(o.labels);
  o.fallbacks.for_each(mix_labels);
  h = mix(h, std::uint64_t{2});
  mix_labels(o.beside);
  h = mix(h, static_cast<std::uint64_t>(static_cast<std::uint32_t>(o.priority)));
  h = mix(h, static_cast<std::uint64_t>(o.scheduling.index()));
  if (const auto* a = std::get_if<NodeAffinity>(&o.scheduling)) {
    h = mix(mix(h, a->node), static_cast<std::uint64_t>(a->soft));
  }
  for (int i = 0; i < 3; ++i) h = mix(h, o.placement_group.id.word(i));
  h = mix(h, static_cast<std::uint64_t>(static_cast<std::uint32_t>(o.bundle)));
  h = mix(h, o.estimate ? static_cast<std::uint64_t>(o.estimate->count()) : ~std::uint64_t{0});
  h = mix(h, static_cast<std::uint64_t>(o.isolation));
  o.runtime_env.env.for_each([&](std::string_view name, std::string_view value) { h = mix(mix(h, name), value); });
  return mix(h, o.runtime_env.working_dir);
}

// Every distinct TaskOptions that this process has used, for ever: call sites hold pointers to them.
class OptionsTable {
 public:
  const TaskOptionsSlot* intern(std::uint64_t hash, const TaskOptions& options) {
    runtime::TaskSpecOptions spec = task_spec(options);
    const std::scoped_lock lock(mutex_);
    const auto [begin, end] = slots_.equal_range(hash);
    for (auto it = begin; it != end; ++it) {
      if (it->second->spec == spec) return it->second.get();
    }
    auto slot = std::make_unique<TaskOptionsSlot>();
    slot->spec = std::move(spec);
    return slots_.emplace(hash, std::move(slot))->second.get();
  }

 private:
  std::mutex mutex_;
  std::unordered_multimap<std::uint64_t, std::unique_ptr<TaskOptionsSlot>> slots_;
};
OptionsTable& options_table() {
  static auto* table = new OptionsTable;  // Outlives static destructors that still submit.
  return *table;
}

runtime::OptionsHandle handle_of(runtime::Runtime& runtime, const TaskOptionsSlot* slot) {
  if (slot == nullptr) return runtime::kDefaultTaskOptions;
  const std::uint64_t session = session_number();
  const std::uint64_t known = slot->interned.load(std::memory_order_acquire);
  if (known >> 32 == session) return static_cast<runtime::OptionsHandle>(known);
  const runtime::OptionsHandle handle = runtime.intern(slot->spec);
  slot->interned.store(session << 32 | handle, std::memory_order_release);
  return handle;
}

}  // namespace

// A loop that calls `.with({...})` each time finds its options by their hash alone: 64 bits over every field, so
// that two different options meet by chance once in 2^64.
const TaskOptionsSlot* copy_options(const TaskOptions& options) {
  struct Known {
    std::uint64_t hash = 0;
    const TaskOptionsSlot* slot = nullptr;
  };
  thread_local std::array<Known, 16> recent{};
  const std::uint64_t hash = hash_of(options);
  Known& known = recent[hash % recent.size()];
  if (known.slot == nullptr || known.hash != hash) known = {hash, options_table().intern(hash, options)};
  return known.slot;
}

std::shared_ptr<const runtime::ActorSpecOptions> copy_options(const ActorOptions& options) {
  auto spec = std::make_shared<runtime::ActorSpecOptions>(actor_spec(options));
  spec->get_if_exists = options.get_if_exists;
  require(!spec->get_if_exists || !spec->name.empty(), "option get_if_exists: needs a name");
  return spec;
}

std::shared_ptr<const GroupSpec> copy_options(const GroupOptions& options) {
  require(options.size >= 1, "option size: a group has at least one member");
  auto spec = std::make_shared<GroupSpec>();
  spec->size = options.size;
  spec->member = actor_spec(options);
  // PACK and SPREAD over nodes are what leases do by themselves; the rest needs a placement group.
  const bool strict = options.placement == Placement::strict_pack || options.placement == Placement::strict_spread;
  const bool by_leases = !strict && options.level == "node";
  if (by_leases && options.placement == Placement::spread && options.scheduling.index() == 0) {
    spec->member.strategy.kind = runtime::Spread{};
  }
  if (by_leases) return spec;
  require(options.placement_group.id.is_nil(),
          "option placement: the members lie where the placement group has its bundles; give one or the other");
  require(options.scheduling.index() == 0, "option scheduling: placement and level say where the members lie");
  spec->reserve.emplace();
  require(options.fallbacks.empty(), "option fallbacks: a reservation for the members has none; give labels");
  spec->reserve->placement = static_cast<runtime::GroupSpecOptions::Placement>(options.placement);
  spec->reserve->level = checked_name(options.level, "level");
  spec->reserve->labels = std::exchange(spec->member.strategy.labels, {});
  spec->reserve->bundles.assign(static_cast<std::size_t>(options.size), spec->member.resources);
  spec->reserve->members = static_cast<std::uint32_t>(options.size);
  spec->reserve->ns = spec->member.ns;
  return spec;
}

base::PlacementGroupId reserve_members(const GroupSpec& group) {
  if (!group.reserve) return {};
  runtime::PlacementGroups* groups = detail::InSession()->placement_groups();
  require(groups != nullptr, "this runtime has no placement groups");
  runtime::GroupSpecOptions spec = *group.reserve;
  spec.detached = group.member.detached;
  if (spec.detached) spec.name = "members of " + group.member.name;
  auto made = groups->create_group(spec);
  if (!made) throw_error(made.error());
  return made->id;
}

runtime::ActorSpecOptions member_options(const GroupSpec& group, int rank, const base::PlacementGroupId& reserved) {
  runtime::ActorSpecOptions out = group.member;
  if (!reserved.is_nil()) {
    out.placement_group = reserved;
    out.bundle = rank;
  }
  if (!out.name.empty()) out.name += "/" + std::to_string(rank);
  return out;
}

void submit(const FunctionEntry& function, const TaskOptionsSlot* options, runtime::Arguments&& arguments,
            std::span<ObjectRef> out) {
  const InSession session;
  session->submit(function, handle_of(*session, options), std::move(arguments), out);
}

}  // namespace mobula::detail
