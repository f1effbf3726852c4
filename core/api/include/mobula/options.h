#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/ids.h"

// What .with({...}) takes.  The order of the fields is part of the API (designated initialisers follow it).  The
// structs hold views; .with copies what they show before it returns.
namespace mobula {

struct NamedAmount {
  std::string_view name;
  double amount = 0;
};
struct NamedLabel {
  std::string_view name;
  std::string_view value;
};

// A view of name and amount pairs: a braced list, a vector of NamedAmount, or a map from string to number.
class ResourceView {
 public:
  ResourceView() = default;
  ResourceView(std::initializer_list<NamedAmount> list) : list_(list.begin(), list.size()) {}
  ResourceView(const std::vector<NamedAmount>& list) : list_(list) {}
  ResourceView(const std::map<std::string, double>& map) : map_(&map) {}
  template <class F>
  void for_each(F&& f) const {
    for (const NamedAmount& a : list_) f(a.name, a.amount);
    if (map_ != nullptr) {
      for (const auto& [name, amount] : *map_) f(std::string_view(name), amount);
    }
  }

 private:
  std::span<const NamedAmount> list_;
  const std::map<std::string, double>* map_ = nullptr;
};

// A view of label selectors: label name, and "v", "!v", "in(a,b)" or "!in(a,b)".
class LabelView {
 public:
  LabelView() = default;
  LabelView(std::initializer_list<NamedLabel> list) : list_(list.begin(), list.size()) {}
  LabelView(const std::vector<NamedLabel>& list) : list_(list) {}
  LabelView(const std::map<std::string, std::string>& map) : map_(&map) {}
  template <class F>
  void for_each(F&& f) const {
    for (const NamedLabel& l : list_) f(l.name, l.value);
    if (map_ != nullptr) {
      for (const auto& [name, value] : *map_) f(std::string_view(name), std::string_view(value));
    }
  }

 private:
  std::span<const NamedLabel> list_;
  const std::map<std::string, std::string>* map_ = nullptr;
};

// A view of alternatives, each a list of label selectors: {{{"zone", "b"}}, {{"zone", "c"}, {"ssd", "exists"}}}.
class FallbackView {
 public:
  FallbackView() = default;
  FallbackView(std::initializer_list<LabelView> list) : list_(list.begin(), list.size()) {}
  FallbackView(const std::vector<LabelView>& list) : list_(list) {}
  template <class F>
  void for_each(F&& f) const {
    for (const LabelView& labels : list_) f(labels);
  }
  bool empty() const { return list_.empty(); }

 private:
  std::span<const LabelView> list_;
};

enum class Lifetime : std::uint8_t {
  job,       // Ends with its last handle, at the latest with its job.
  detached,  // Lives until it is killed.
};
enum class Placement : std::uint8_t { pack, spread, strict_pack, strict_spread };
enum class Isolation : std::uint8_t {
  shared,   // A worker runs many tasks, one after another.
  process,  // A process of its own, which ends with it.
};

struct Spread {};
struct NodeAffinity {
  std::string_view node{};  // A node's id, its beginning, or a host name.
  bool soft = false;        // Anywhere when that node cannot.
};
// Empty: pack, then spread over the best nodes.
using Scheduling = std::variant<std::monostate, Spread, NodeAffinity>;

// Names a placement group; nil means none.
struct PlacementGroupView {
  base::PlacementGroupId id;
};

// What one bundle of a placement group reserves; it lies on one node.
struct Bundle {
  double cpus = 1;
  double gpus = 0;
  std::size_t memory = 0;  // Bytes.
  ResourceView resources{};
};

struct PlacementGroupOptions {
  Placement placement = Placement::pack;
  std::string_view level = "node";  // core l3 numa package node nvlink switch spine rack, or a label.
  std::string_view name{};
  std::string_view ns{};  // Empty: the job's own.
  Lifetime lifetime = Lifetime::job;
  LabelView labels{};                // Of the nodes that may serve.
  bool capture_child_tasks = false;  // What tasks and actors inside call lies inside, too, unless it names a group.
};

// What a task's process has that others lack.
struct RuntimeEnv {
  LabelView env{};  // Environment variables.
  std::string_view working_dir{};
};

struct TaskOptions {
  double cpus = 1;
  double gpus = 0;
  std::string_view accelerator_type{};  // "H100": what the node's label mobula.node/accelerator says.
  std::size_t memory = 0;               // Bytes.
  ResourceView resources{};
  int max_retries = 3;  // When its worker died; -1: for ever.
  bool retry_exceptions = false;
  std::string_view name{};
  LabelView labels{};        // Selectors on the labels of the node.
  FallbackView fallbacks{};  // Instead of `labels`, in turn, where no such node has room.
  LabelView beside{};        // Selectors on the labels of the actors that live on the node now.
  Scheduling scheduling{};
  PlacementGroupView placement_group{};
  int bundle = -1;   // Of the placement group; -1: any.
  int priority = 0;  // -1000 to 1000; higher ones are served first, and get workers of lower ones when those pause.
  std::optional<std::chrono::nanoseconds> estimate{};
  Isolation isolation = Isolation::shared;
  RuntimeEnv runtime_env{};
};

struct ActorOptions {
  double cpus = 0;  // Held while the actor lives.  As in Ray an actor holds none unless told so.
  double gpus = 0;
  std::string_view accelerator_type{};
  std::size_t memory = 0;
  ResourceView resources{};
  int max_restarts = 0;      // -1: for ever.
  int max_task_retries = 0;  // Of calls in flight when the actor restarts.
  int max_concurrency = 1;   // Calls that run, or are suspended, at once.
  std::int64_t max_pending_calls = -1;
  std::string_view name{};
  std::string_view ns{};  // Empty: the job's own.
  Lifetime lifetime = Lifetime::job;
  LabelView labels{};
  FallbackView fallbacks{};
  LabelView beside{};
  LabelView actor_labels{};  // Its own, which the `beside` of others selects.
  Scheduling scheduling{};
  PlacementGroupView placement_group{};
  int bundle = -1;
  int priority = 0;
  std::optional<std::chrono::nanoseconds> estimate{};
  Isolation isolation = Isolation::shared;
  RuntimeEnv runtime_env{};
  bool get_if_exists = false;  // The actor of that name, if there is one, instead of an error.
};

struct GroupOptions {
  int size = 1;
  double cpus = 0;
  double gpus = 0;
  std::string_view accelerator_type{};
  std::size_t memory = 0;
  ResourceView resources{};
  Placement placement = Placement::pack;
  std::string_view level = "node";  // core l3 numa package node nvlink switch spine, or a label.
  int max_restarts = 0;
  int max_task_retries = 0;
  int max_concurrency = 1;
  std::int64_t max_pending_calls = -1;
  std::string_view name{};
  std::string_view ns{};
  Lifetime lifetime = Lifetime::job;
  LabelView labels{};
  FallbackView fallbacks{};
  LabelView beside{};
  LabelView actor_labels{};
  Scheduling scheduling{};
  PlacementGroupView placement_group{};
  int bundle = -1;
  int priority = 0;
  std::optional<std::chrono::nanoseconds> estimate{};
  Isolation isolation = Isolation::shared;
  RuntimeEnv runtime_env{};
};

// A time limit from any chrono duration; never by default.  Saturates instead of overflowing.
class TimeLimit {
 public:
  constexpr TimeLimit() = default;
  template <class Rep, class Period>
  constexpr TimeLimit(std::chrono::duration<Rep, Period> d) : ns_(clamp(d)) {}
  constexpr bool never() const { return ns_ == kNever; }
  constexpr std::chrono::nanoseconds duration() const { return ns_; }

 private:
  static constexpr std::chrono::nanoseconds kNever = std::chrono::nanoseconds::max();
  template <class Rep, class Period>
  static constexpr std::chrono::nanoseconds clamp(std::chrono::duration<Rep, Period> d) {
    using Seconds = std::chrono::duration<double>;
    if (std::chrono::duration_cast<Seconds>(d) >= Seconds(9.0e9)) return kNever;  // 285 years.
    return std::chrono::duration_cast<std::chrono::nanoseconds>(d);
  }
  std::chrono::nanoseconds ns_ = kNever;
};

struct WaitOptions {
  std::size_t count = 1;
  TimeLimit timeout{};
};
struct CancelOptions {
  bool force = false;     // End the worker when the task does not stop by itself.
  bool recursive = true;  // The tasks that it submitted, too.
};
struct KillOptions {
  bool no_restart = true;
};

}  // namespace mobula
