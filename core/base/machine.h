#pragma once

#include <chrono>
#include <concepts>
#include <optional>
#include <vector>

namespace mobula::base {

// Time as the driver tells it: monotonic, and simulated in tests.
using Duration = std::chrono::nanoseconds;
using Time = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

template <class Output>
using Outbox = std::vector<Output>;

// A control-plane component that does no I/O.
//
// step() applies one input, tick() fires what is due, and both only append to `out`.  A machine
// owns no thread, socket, clock or random source, and its outputs depend on nothing but the
// sequence of inputs, so a driver over sockets and a driver over the simulator run the same code.
template <class M>
concept Machine = requires(M m, const M c, Time now, typename M::Input in, Outbox<typename M::Output> out) {
  m.step(now, std::move(in), out);
  m.tick(now, out);
  { c.next_deadline() } -> std::same_as<std::optional<Time>>;
  { c.is_valid() } -> std::same_as<bool>;
};

}  // namespace mobula::base
