#include "bench/suite/rows.h"

#include "bench/sides/collective_metrics.h"

namespace mobula::bench {
namespace {

constexpr Better kLower = Better::kLower;
constexpr Better kHigher = Better::kHigher;

Goal at(double value) { return {Goal::Of::kOne, value, ""}; }
Goal times_floor(double factor) { return {Goal::Of::kFloor, factor, ""}; }
Goal plus_floor(double value) { return {Goal::Of::kAboveFloor, value, ""}; }
Goal times_row(double factor, const char* row) { return {Goal::Of::kRow, factor, row}; }

// 64 bytes there and back.
std::vector<Row> calls() {
  const char* const ucx = "raw UCX active messages over shared memory";
  const char* const ucx64 = "raw UCX active messages, 64 in flight";
  const std::vector<std::pair<std::string, std::string>> all = {{"grpc", "grpc"}, {"mpi", "mpi"}, {"ray", "ray"}};
  const std::vector<std::pair<std::string, std::string>> sleepers = {{"grpc", "grpc"}, {"ray", "ray"}};
  const std::vector<std::pair<std::string, std::string>> ray = {{"ray", "ray"}};
  return {
      {"calls", "actor_call_sync_us", "us", kLower, "ours", "ucx", ucx, all, times_floor(3)},
      {"calls", "actor_call_sleeping_us", "us", kLower, "ours", "process", "eventfd ping-pong", sleepers,
       times_floor(2.5)},
      {"calls", "actor_call_async_per_s", "1/s", kHigher, "ours", "ucx", ucx64, all, at(500'000)},
      {"calls", "actor_call_nn_per_s", "1/s", kHigher, "ours", "ucx", ucx64, all, {}},
      {"calls", "task_sync_us", "us", kLower, "ours", "ucx", ucx, all, times_row(1.5, "actor_call_sync_us")},
      {"calls", "task_async_per_s", "1/s", kHigher, "ours", "ucx", ucx64, all, at(250'000)},
      {"calls", "actor_create_per_s", "1/s", kHigher, "ours", "process", "fork", ray, at(500)},
      {"calls",
       "first_task_ms",
       "ms",
       kLower,
       "hello",
       "plain_hello",
       "exec of a program that prints a line",
       {},
       at(100)},
      {"calls",
       "first_task_4_nodes_ms",
       "ms",
       kLower,
       "hello",
       "plain_hello",
       "exec of a program that prints a line",
       {},
       at(300)},
      {"calls", "queued_task_bytes", "bytes", kLower, "ours_fresh", "", "", {}, at(1024), 1},
      {"calls",
       "barrier_oversubscribed_us",
       "us",
       kLower,
       "barrier",
       "barrier_yield",
       "the same with sched_yield",
       {},
       times_floor(1)},
  };
}

std::vector<Row> objects() {
  const char* const memcpy_warm = "memcpy into warm shared memory";
  const char* const memcpy_mapped = "memcpy from a mapped file";
  const char* const tcp = "one raw TCP loopback stream";
  const std::vector<std::pair<std::string, std::string>> shm = {{"openmpi", "mpi"}, {"grpc", "grpc"}};
  const std::vector<std::pair<std::string, std::string>> sock = {{"openmpi", "mpi_tcp"}, {"grpc", "grpc"}};
  const std::vector<std::pair<std::string, std::string>> ray = {{"ray", "ray"}};
  return {
      {"objects", "get_local_ns", "ns", kLower, "ours", "", "", ray, at(1000)},
      {"objects", "put_4k_us", "us", kLower, "ours", "memory", memcpy_warm, ray, {}},
      {"objects", "put_1m_us", "us", kLower, "ours", "memory", memcpy_warm, ray, times_floor(1.3)},
      {"objects", "put_1g_gbps", "GB/s", kHigher, "ours", "memory", memcpy_warm, ray, times_floor(0.8), 3},
      {"objects", "pull_256m_shm_gbps", "GB/s", kHigher, "ours_shm", "memory", memcpy_mapped, shm, times_floor(0.8)},
      {"objects", "pull_256m_sock_gbps", "GB/s", kHigher, "ours_sock", "tcp", tcp, sock, times_floor(0.8)},
      {"objects", "pull_1m_shm_us", "us", kLower, "ours_shm", "memory", memcpy_mapped, shm, {}},
      {"objects", "pull_1m_sock_us", "us", kLower, "ours_sock", "tcp", tcp, sock, {}},
  };
}

// A launcher's start of a program, up to the line that it prints after its first task.
std::vector<Row> startup() {
  const char* const hostname = "srun hostname of the same shape";
  const auto srun = [&](const char* metric, Goal goal) {
    return Row{"startup", metric, "ms", kLower, "launch_srun", "launch_hostname", hostname, {}, std::move(goal), 3};
  };
  return {
      srun("srun_first_task_2_nodes_ms", {}),
      srun("srun_first_task_4_nodes_ms", plus_floor(150)),
      srun("srun_first_task_8_nodes_ms", {}),
      srun("srun_first_task_16_processes_ms", {}),
      srun("srun_first_task_64_processes_ms", {}),
      srun("shutdown_4_nodes_ms", {}),
      {"startup", "join_cpu_ms_per_node", "ms", kLower, "launch_srun", "", "", {}, {}, 3},
      {"startup",
       "mpirun_first_task_ms",
       "ms",
       kLower,
       "launch_mpirun",
       "launch_mpi",
       "mpirun of MPI_Init and MPI_Finalize",
       {},
       times_floor(1),
       3},
      // Virtual: the same each time.
      {"startup", "sim_join_100_ms", "ms", kLower, "join", "", "", {}, {}, 1},
      {"startup", "sim_join_1000_ms", "ms", kLower, "join", "", "", {}, {}, 1},
      {"startup", "sim_join_10000_ms", "ms", kLower, "join", "", "", {}, at(2'000), 1},
      {"startup", "sim_join_100_messages", "1", kLower, "join", "", "", {}, {}, 1},
      {"startup", "sim_join_1000_messages", "1", kLower, "join", "", "", {}, times_row(2, "sim_join_100_messages"), 1},
      {"startup", "sim_join_10000_messages", "1", kLower, "join", "", "", {}, times_row(2, "sim_join_100_messages"), 1},
  };
}

// Of groups of two and of four.
std::vector<Row> collectives() {
  using M = CollectiveMetric;
  std::vector<Row> out;
  for (const M& m : collective_metrics()) {
    const bool sock = m.link == M::Link::kSock;
    const bool time = m.unit == M::Unit::kTime;
    Row row{"collectives", m.name(), time ? "us" : "GB/s", time ? kLower : kHigher, "ours_group", "", "", {}, {}};
    const std::string ranks = std::to_string(m.ranks);
    // What the bound can be reached for is what is moved, not handed over.
    const bool large = m.bytes >= (std::size_t{1} << 20);
    if (!sock) {
      row.floor = "group";
      row.floor_name = "processes that hand over in shared memory and copy what a rank must get, all at once";
      if (large) row.goal = times_floor(time ? 1.3 : 1 / 1.3);
    } else {
      row.ours = "ours_group_sock";
      if (m.ranks == 2) {
        row.floor = "tcp";
        row.floor_name = "a request, and what a rank must get as its answer, over raw TCP loopback";
      }
    }
    if (m.memory == M::Memory::kStaged) row.ours = "ours_group_staged";
    // It knows no other memory than the program's.
    if (m.bytes >= (std::size_t{16} << 20)) row.rounds = 3;
    if (m.memory == M::Memory::kPrivate) row.peers = {{"openmpi", (sock ? "mpi_sock_n" : "mpi_group_n") + ranks}};
    out.push_back(std::move(row));
  }
  out.push_back({"collectives",
                 "group_call_n4_us",
                 "us",
                 kLower,
                 "ours_group",
                 "",
                 "",
                 {},
                 times_row(4, "actor_call_sleeping_us")});
  out.push_back({"collectives", "group_create_ms", "ms", kLower, "ours_group", "", "", {}, {}});
  out.push_back({"collectives", "failure_to_error_ms", "ms", kLower, "ours_group", "", "", {}, at(2'000), 3});
  out.push_back({"collectives", "shrink_ms", "ms", kLower, "ours_group", "", "", {}, {}, 3});
  return out;
}

// Ray's figures are those of its own benchmark (placement groups) and of its documentation.
std::vector<Row> sched() {
  const auto row = [](const char* metric, const char* unit, Better better, Goal goal, const char* side = "sched") {
    return Row{"sched", metric, unit, better, side, "", "", {}, std::move(goal), 3};
  };
  return {
      row("lease_step_ns", "ns", kLower, {}, "scale"),
      row("bulk_lease_1000_ms", "ms", kLower, {}, "scale"),
      row("task_async_multi_driver_per_s", "1/s", kHigher, {}),
      row("pg_create_remove_per_s", "1/s", kHigher, at(765)),
      row("pg_create_with_1000_alive_per_s", "1/s", kHigher, at(18)),
      row("pg_ready_us", "us", kLower, {}),
      row("bind_check", "1", kLower, at(0)),
      row("worker_death_to_retry_ms", "ms", kLower, at(100)),
      row("actor_restart_ms", "ms", kLower, {}),
      row("node_crash_detect_ms", "ms", kLower, at(1'000), "sched_fresh"),
      row("fill_80k_cores_s", "s", kLower, at(2), "scale"),
  };
}

// The machines that decide, for clusters of three sizes.  What is virtual is the same each time.
std::vector<Row> scale() {
  std::vector<Row> rows;
  const auto add = [&](const std::string& metric, const char* unit, Goal last) {
    for (const char* nodes : {"100", "1000", "10000"}) {
      const Goal goal = nodes == std::string("10000") ? last : Goal{};
      rows.push_back({"scale", metric + "_" + nodes, unit, kLower, "scale", "", "", {}, goal, 1});
    }
  };
  add("sim_lease_us", "us", times_row(4, "sim_lease_us_100"));
  add("sim_fill_s", "s", at(2));
  add("sim_lease_messages", "1", times_row(2, "sim_lease_messages_100"));
  add("sim_view_bytes", "bytes", times_row(1.5, "sim_view_bytes_100"));
  add("sim_actor_us", "us", times_row(2, "sim_actor_us_100"));
  add("sim_actor_bytes", "bytes", times_row(1.5, "sim_actor_bytes_100"));
  add("sim_group_us", "us", {});
  return rows;
}

}  // namespace

std::vector<Row> all_rows() {
  std::vector<Row> rows = calls();
  for (Row& row : startup()) rows.push_back(std::move(row));
  for (Row& row : collectives()) rows.push_back(std::move(row));
  for (Row& row : objects()) rows.push_back(std::move(row));
  for (Row& row : sched()) rows.push_back(std::move(row));
  for (Row& row : scale()) rows.push_back(std::move(row));
  return rows;
}

}  // namespace mobula::bench
