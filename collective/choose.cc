#include "collective/choose.h"

#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace mobula::collective {
namespace {

constexpr std::size_t kAny = ~std::size_t{0};
constexpr std::size_t kChainSegmentBytes = 64 * 1024;

constexpr std::array kAlgorithmNames{"dissemination", "binomial",
                                     "chain",         "scatter_allgather",
                                     "ring_gather",   "recursive_doubling",
                                     "rabenseifner",  "ring",
                                     "pairwise",      "bruck",
                                     "linear",        "hillis_steele"};

bool can(Operation operation, Algorithm algorithm) {
  using A = Algorithm;
  const auto is = [&](auto... each) { return ((algorithm == each) || ...); };
  switch (operation) {
    case Operation::kBarrier: return is(A::kDissemination);
    case Operation::kBroadcast: return is(A::kBinomial, A::kChain, A::kScatterAllgather);
    case Operation::kReduce: return is(A::kBinomial, A::kRingGather);
    case Operation::kAllreduce: return is(A::kRecursiveDoubling, A::kRabenseifner, A::kRing);
    case Operation::kGather:
    case Operation::kScatter: return is(A::kBinomial, A::kLinear);
    case Operation::kAllgather: return is(A::kRing, A::kBruck);
    case Operation::kReduceScatter: return is(A::kRing, A::kPairwise);
    case Operation::kAlltoall: return is(A::kPairwise, A::kBruck);
    case Operation::kScan:
    case Operation::kExclusiveScan: return is(A::kHillisSteele);
    case Operation::kSendReceive: return false;
  }
  return false;
}

template <class Enum, std::size_t N>
std::optional<Enum> find_name(const std::array<const char*, N>& names, std::string_view name) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

std::optional<Operation> find_operation(std::string_view name) {
  for (std::uint8_t i = 0; i < kOperations; ++i) {
    if (name_of(Operation{i}) == name) return Operation{i};
  }
  return std::nullopt;
}

// Takes "SEP number" off the end of `text`.
template <class T>
bool take_number(std::string_view& text, std::string_view separator, T& out) {
  const std::size_t at = text.rfind(separator);
  if (at == text.npos) return true;
  const std::string_view digits = text.substr(at + separator.size());
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  if (error != std::errc() || end != digits.data() + digits.size()) return false;
  text = text.substr(0, at);
  return true;
}

std::optional<Rule> parse_rule(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == text.npos) return std::nullopt;
  const auto algorithm = find_name<Algorithm>(kAlgorithmNames, text.substr(colon + 1));
  std::string_view left = text.substr(0, colon);
  Rule rule{Operation::kBarrier, kAny, 1, Algorithm::kLinear};
  if (!algorithm || !take_number(left, "@", rule.size_min) || !take_number(left, "<=", rule.bytes_max)) {
    return std::nullopt;
  }
  const auto operation = find_operation(left);
  if (!operation || !can(*operation, *algorithm)) return std::nullopt;
  rule.operation = *operation;
  rule.algorithm = *algorithm;
  return rule;
}

}  // namespace

const char* name_of(Algorithm algorithm) { return kAlgorithmNames.at(static_cast<std::size_t>(algorithm)); }

Table::Table()
    : rules_{
          {Operation::kBarrier, kAny, 1, Algorithm::kDissemination},
          {Operation::kBroadcast, 16 << 10, 1, Algorithm::kBinomial},
          {Operation::kBroadcast, 256 << 10, 8, Algorithm::kScatterAllgather},
          {Operation::kBroadcast, kAny, 1, Algorithm::kChain},
          {Operation::kReduce, 32 << 10, 1, Algorithm::kBinomial},
          {Operation::kReduce, kAny, 1, Algorithm::kRingGather},
          {Operation::kAllreduce, 16 << 10, 1, Algorithm::kRecursiveDoubling},
          {Operation::kAllreduce, 512 << 10, 1, Algorithm::kRabenseifner},
          {Operation::kAllreduce, kAny, 1, Algorithm::kRing},
          {Operation::kGather, 8 << 10, 8, Algorithm::kBinomial},
          {Operation::kGather, kAny, 1, Algorithm::kLinear},
          {Operation::kScatter, 8 << 10, 8, Algorithm::kBinomial},
          {Operation::kScatter, kAny, 1, Algorithm::kLinear},
          {Operation::kAllgather, 8 << 10, 1, Algorithm::kBruck},
          {Operation::kAllgather, kAny, 1, Algorithm::kRing},
          {Operation::kReduceScatter, 64 << 10, 1, Algorithm::kPairwise},
          {Operation::kReduceScatter, kAny, 1, Algorithm::kRing},
          {Operation::kAlltoall, 256, 8, Algorithm::kBruck},
          {Operation::kAlltoall, kAny, 1, Algorithm::kPairwise},
          {Operation::kScan, kAny, 1, Algorithm::kHillisSteele},
          {Operation::kExclusiveScan, kAny, 1, Algorithm::kHillisSteele},
      } {}

base::Result<void> Table::override_with(std::string_view text) {
  std::vector<Rule> first;
  while (!text.empty()) {
    const std::size_t end = text.find(',');
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    const auto rule = parse_rule(part);
    if (!rule) {
      return base::Error{base::Code::kInvalid,
                         "'" + std::string(part) +
                             "' is no rule for collectives: want OPERATION[<=BYTES][@RANKS]:ALGORITHM "
                             "as `mobula config collectives` prints them"};
    }
    first.push_back(*rule);
  }
  rules_.insert(rules_.begin(), first.begin(), first.end());
  return {};
}

Algorithm Table::choose(Operation operation, std::size_t bytes, int size) const {
  for (const Rule& rule : rules_) {
    if (rule.operation == operation && bytes <= rule.bytes_max && size >= rule.size_min) return rule.algorithm;
  }
  return Algorithm::kLinear;  // Not reached: each operation ends with a rule for everything.
}

std::string Table::to_string() const {
  std::string out;
  for (const Rule& rule : rules_) {
    out += name_of(rule.operation);
    if (rule.bytes_max != kAny) out += "<=" + std::to_string(rule.bytes_max);
    if (rule.size_min > 1) out += "@" + std::to_string(rule.size_min);
    out += std::string(":") + name_of(rule.algorithm) + "\n";
  }
  return out;
}

Plan plan_for(const Table& table, const Request& r, Place place) {
  // By what all ranks know: where blocks differ, by the number of ranks alone.
  const bool equal = r.counts.empty();
  const std::size_t bytes = equal ? r.count * r.element_bytes : kAny;
  const Blocks blocks = equal ? Blocks::equal(r.count, place.size) : Blocks(r.counts);
  Algorithm a = table.choose(r.operation, bytes, place.size);
  switch (r.operation) {
    case Operation::kBarrier: return barrier_dissemination(place);
    case Operation::kBroadcast:
      if (a == Algorithm::kBinomial) return broadcast_binomial(place, r.root, r.count);
      if (a == Algorithm::kScatterAllgather) return broadcast_scatter_allgather(place, r.root, r.count);
      return broadcast_chain(place, r.root, r.count, std::max<std::size_t>(1, kChainSegmentBytes / r.element_bytes));
    case Operation::kReduce:
      return a == Algorithm::kBinomial ? reduce_binomial(place, r.root, r.count)
                                       : reduce_ring_gather(place, r.root, r.count);
    case Operation::kAllreduce:
      if (a == Algorithm::kRecursiveDoubling) return allreduce_recursive_doubling(place, r.count);
      if (a == Algorithm::kRabenseifner) return allreduce_rabenseifner(place, r.count);
      return allreduce_ring(place, r.count);
    case Operation::kGather:
      return equal && a == Algorithm::kBinomial ? gather_binomial(place, r.root, r.count)
                                                : gather_linear(place, r.root, blocks);
    case Operation::kScatter:
      return equal && a == Algorithm::kBinomial ? scatter_binomial(place, r.root, r.count)
                                                : scatter_linear(place, r.root, blocks);
    case Operation::kAllgather:
      return equal && a == Algorithm::kBruck ? allgather_bruck(place, r.count) : allgather_ring(place, blocks);
    case Operation::kReduceScatter:
      return a == Algorithm::kPairwise ? reduce_scatter_pairwise(place, blocks) : reduce_scatter_ring(place, blocks);
    case Operation::kAlltoall:
      if (equal && a == Algorithm::kBruck) return alltoall_bruck(place, r.count);
      return alltoall_pairwise(place, blocks, equal ? blocks : Blocks(r.receives));
    case Operation::kScan: return scan(place, r.count);
    case Operation::kExclusiveScan: return exclusive_scan(place, r.count);
    case Operation::kSendReceive: break;
  }
  return {};
}

}  // namespace mobula::collective
