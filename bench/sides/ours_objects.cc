#include <sched.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <mobula/mobula.h>

#include "bench/sides/ours.h"
#include "bench/sides/timing.h"

namespace mobula::bench {

constexpr std::size_t kMiB = std::size_t{1} << 20;

using Bytes = Array<std::byte>;

// Makes arrays on the node that it lives on.
struct Maker {
  Bytes make(std::size_t size, int value) {
    Bytes array = alloc<std::byte>(size);
    std::memset(array.mut().data(), value, size);
    return array;
  }
  std::string node() { return context().node; }
};

namespace {

std::vector<std::string> nodes() {
  std::vector<std::string> ids;
  const auto status = nlohmann::json::parse(cluster_status_json());
  for (const auto& node : status.at("nodes")) ids.push_back(node.at("id").get<std::string>());
  return ids;
}

// A maker on this node, and one on another where there is one.
class Makers {
 public:
  const ActorHandle<Maker>& here() { return at(here_, true); }
  const ActorHandle<Maker>& elsewhere() { return at(elsewhere_, false); }

 private:
  const ActorHandle<Maker>& at(ActorHandle<Maker>& maker, bool local) {
    if (maker) return maker;
    const std::string mine = context().node;
    for (const std::string& id : nodes()) {
      if (id.starts_with(mine) != local) continue;  // context() shortens ids.
      maker = actor<Maker>.with({.scheduling = NodeAffinity{.node = id}})();
      if ((method<&Maker::node>(maker).get() == mine) == local) return maker;
      throw CannotMeasure("an actor was not placed on the node that it asked for");
    }
    throw CannotMeasure("the cluster has one node");
  }

  ActorHandle<Maker> here_;
  ActorHandle<Maker> elsewhere_;
};

Ref<Bytes> made(const ActorHandle<Maker>& maker, std::size_t size, int value) {
  auto ref = method<&Maker::make>(maker, size, value);
  static_cast<void>(wait(std::vector{ref}));
  return ref;
}

void check(const Bytes& array, std::size_t size, int value) {
  if (array.size() != size || array[0] != std::byte(value) || array[size - 1] != std::byte(value))
    throw CannotMeasure("an array arrived with other contents");
}

// Arrays that another process of this node has sealed, each seen by this process for the first time.
double get_local(const ActorHandle<Maker>& maker, Effort effort) {
  constexpr std::size_t kSize = 128 << 10;
  std::vector<Ref<Bytes>> refs;
  for (int i = effort.of(400); i > 0; --i) refs.push_back(made(maker, kSize, 7));
  std::vector<Bytes> arrays(refs.size());
  std::vector<double> ns;
  for (std::size_t i = 0; i < refs.size(); ++i) {
    const auto start = Clock::now();
    arrays[i] = refs[i].get();
    ns.push_back(seconds_since(start) * 1e9);
  }
  check(arrays.back(), kSize, 7);
  return median(std::move(ns));
}

// `batch` puts a time, where the clock would be seen in a single one.
double put_us(std::size_t size, int count, int batch = 1) {
  const std::vector<std::byte> value(size, std::byte{3});
  const auto once = [&] {
    for (int i = 0; i < batch; ++i) static_cast<void>(put(value));
  };
  median_us(count / 4 + 1, once);
  return median_us(count, once) / batch;
}

double put_1g(Effort effort) {
  const std::size_t size = effort.quick ? 256 * kMiB : 1024 * kMiB;
  const double us = put_us(size, effort.quick ? 1 : 2);
  return static_cast<double>(size) / us / 1e3;
}

double pull_us(const ActorHandle<Maker>& maker, std::size_t size, int count) {
  std::vector<double> us;
  for (int i = 0; i < count; ++i) {
    const auto ref = made(maker, size, i % 100);
    const auto start = Clock::now();
    const Bytes array = ref.get();
    us.push_back(seconds_since(start) * 1e6);
    check(array, size, i % 100);
  }
  return median(std::move(us));
}

}  // namespace

void add_objects(Side& side) {
  const auto makers = std::make_shared<Makers>();
  side.add("get_local_ns", [=](Effort e) { return get_local(makers->here(), e); });
  side.add("put_4k_us", [](Effort e) { return put_us(4096, e.of(200), 50); });
  side.add("put_1m_us", [](Effort e) { return put_us(kMiB, e.of(200)); });
  side.add("put_1g_gbps", put_1g);
  for (const char* link : {"shm", "sock"}) {
    side.add(std::string("pull_256m_") + link + "_gbps", [=](Effort e) {
      return static_cast<double>(256 * kMiB) / pull_us(makers->elsewhere(), 256 * kMiB, e.quick ? 1 : 2) / 1e3;
    });
    side.add(std::string("pull_1m_") + link + "_us",
             [=](Effort e) { return pull_us(makers->elsewhere(), kMiB, e.of(40)); });
  }
}

}  // namespace mobula::bench
