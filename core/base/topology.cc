#include "core/base/topology.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cctype>
#include <set>
#include <sstream>
#include <utility>

#include "core/base/limits.h"

namespace mobula::base {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::string_view kLabelPrefix = "mobula.topology/";
constexpr std::array<std::pair<std::string_view, TopologyLevel>, 9> kLevels{{
    {"core", TopologyLevel::kCore},
    {"l3", TopologyLevel::kL3},
    {"numa", TopologyLevel::kNuma},
    {"package", TopologyLevel::kPackage},
    {"node", TopologyLevel::kNode},
    {"nvlink", TopologyLevel::kNvlink},
    {"switch", TopologyLevel::kSwitch},
    {"spine", TopologyLevel::kSpine},
    {"rack", TopologyLevel::kRack},
}};

std::string_view level_text(TopologyLevel level) {
  for (const auto& [text, l] : kLevels) {
    if (l == level) return text;
  }
  return "label";
}

void put_set(Buffer& out, const CpuSet& set) { out.put_string(set.to_string()); }

CpuSet get_set(Cursor& in) {
  auto set = CpuSet::parse(in.get_string());
  if (!set) in.fail();
  return set ? std::move(*set) : CpuSet();
}

void put_devices(Buffer& out, const std::vector<Topology::Device>& devices) {
  out.put(static_cast<std::uint32_t>(devices.size()));
  for (const Topology::Device& d : devices) {
    out.put(d.kind);
    out.put_string(d.name);
    out.put_string(d.bus);
    out.put_string(d.uuid);
    out.put_string(d.model);
    out.put(d.pci_switch);
    put_set(out, d.near);
  }
}

// No length is believed before the bytes are there.
std::size_t get_count(Cursor& in, std::size_t bytes_each) {
  const auto n = in.get<std::uint32_t>();
  if (n > in.left() / bytes_each) in.fail();
  return in.ok() ? n : 0;
}

std::vector<Topology::Device> get_devices(Cursor& in, Topology::Device::Kind kind) {
  const std::size_t count = get_count(in, 23);
  if (count > kResourcesPerNodeMax) in.fail();
  std::vector<Topology::Device> out(in.ok() ? count : 0);
  for (Topology::Device& d : out) {
    d.kind = in.get<Topology::Device::Kind>();
    if (d.kind != kind) in.fail();
    d.name = in.get_string();
    d.bus = in.get_string();
    d.uuid = in.get_string();
    d.model = in.get_string();
    d.pci_switch = in.get<std::uint16_t>();
    d.near = get_set(in);
    if (!in.ok()) return {};
  }
  return out;
}

void put_numbers(Buffer& out, const std::vector<std::uint32_t>& numbers) {
  out.put(static_cast<std::uint32_t>(numbers.size()));
  for (const std::uint32_t n : numbers) out.put(n);
}

std::vector<std::uint32_t> get_numbers(Cursor& in) {
  std::vector<std::uint32_t> out(get_count(in, sizeof(std::uint32_t)));
  for (std::uint32_t& n : out) n = in.get<std::uint32_t>();
  return out;
}

bool is_square(const std::vector<std::uint32_t>& matrix, std::size_t side) {
  return matrix.empty() || matrix.size() == side * side;
}

}  // namespace

std::string topology_label(TopologyLevel level) {
  assert(level > TopologyLevel::kNode && level < TopologyLevel::kLabel);
  return std::string(kLabelPrefix) + std::string(level_text(level));
}

LevelName LevelName::parse(std::string_view text) {
  for (const auto& [name, level] : kLevels) {
    if (name == text) return {level, level > TopologyLevel::kNode ? topology_label(level) : std::string()};
  }
  return {TopologyLevel::kLabel, std::string(text)};
}

std::string LevelName::to_string() const {
  return level == TopologyLevel::kLabel ? label : std::string(level_text(level));
}

Topology Topology::flat(const CpuSet& set) {
  Topology out;
  out.numas.push_back({0, 0});
  for (const unsigned pu : set.members()) {
    out.pus.push_back({static_cast<std::uint16_t>(pu), static_cast<std::uint16_t>(out.pus.size()), 0, 0, 0});
  }
  return out;
}

CpuSet Topology::all_pus() const {
  CpuSet out;
  for (const Pu& pu : pus) out.add(pu.os);
  return out;
}

std::uint16_t Topology::domain_of(const Pu& pu, TopologyLevel level) {
  switch (level) {
    case TopologyLevel::kCore: return pu.core;
    case TopologyLevel::kL3: return pu.l3;
    case TopologyLevel::kNuma: return pu.numa;
    case TopologyLevel::kPackage: return pu.package;
    default: return 0;
  }
}

std::uint16_t Topology::count(TopologyLevel level) const {
  std::uint16_t out = 0;
  for (const Pu& pu : pus) out = std::max(out, static_cast<std::uint16_t>(domain_of(pu, level) + 1));
  return out;
}

CpuSet Topology::pus_of(TopologyLevel level, std::uint16_t domain) const {
  CpuSet out;
  for (const Pu& pu : pus) {
    if (domain_of(pu, level) == domain) out.add(pu.os);
  }
  return out;
}

CpuSet Topology::numas_of(const CpuSet& set) const {
  CpuSet out;
  for (const Pu& pu : pus) {
    if (set.contains(pu.os)) out.add(numas[pu.numa].os);
  }
  return out;
}

std::vector<std::uint16_t> Topology::nics_near_gpu(std::uint16_t gpu) const {
  const Device& g = gpus.at(gpu);
  std::vector<std::uint16_t> out(nics.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint16_t>(i);
  const auto distance = [&](std::uint16_t nic) {
    if (g.pci_switch != 0 && nics[nic].pci_switch == g.pci_switch) return 0;
    return nics[nic].near.intersects(g.near) ? 1 : 2;
  };
  std::stable_sort(out.begin(), out.end(), [&](auto a, auto b) { return distance(a) < distance(b); });
  return out;
}

std::vector<std::uint16_t> Topology::nics_near(const CpuSet& set) const {
  std::vector<std::uint16_t> out(nics.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint16_t>(i);
  const auto far = [&](std::uint16_t nic) { return !nics[nic].near.intersects(set); };
  std::stable_sort(out.begin(), out.end(), [&](auto a, auto b) { return far(a) < far(b); });
  return out;
}

std::string Topology::accelerator_type() const {
  for (const Device& gpu : gpus) {
    // The first word that begins with a letter and has a digit; sizes ("80GB") begin with digits.
    std::string last;
    std::istringstream words(gpu.model);
    for (std::string word; words >> word;) {
      last = word;
      const bool letter = std::isalpha(static_cast<unsigned char>(word[0])) != 0;
      if (letter && word.find_first_of("0123456789") != std::string::npos) return word.substr(0, word.find('-'));
    }
    if (!last.empty()) return last;
  }
  return {};
}

bool Topology::is_valid() const {
  if (pus.size() >= CpuSet::kMax || numas.size() >= CpuSet::kMax) return false;  // They are counted in 16 bits.
  std::set<std::uint16_t> seen;
  std::map<std::uint16_t, Pu> cores;
  for (const Pu& pu : pus) {
    if (!seen.insert(pu.os).second || pu.numa >= numas.size()) return false;
    // Indices count what is there: a short description has few domains.
    if (pu.core >= pus.size() || pu.l3 >= pus.size() || pu.package >= pus.size()) return false;
    // The PUs of a core share everything above it.
    const auto [it, added] = cores.emplace(pu.core, pu);
    if (!added && (it->second.l3 != pu.l3 || it->second.numa != pu.numa || it->second.package != pu.package)) {
      return false;
    }
  }
  for (std::size_t i = 1; i < pus.size(); ++i) {
    if (pus[i].core < pus[i - 1].core || pus[i].package < pus[i - 1].package) return false;
  }
  return is_square(numa_latency, numas.size()) && is_square(gpu_links, gpus.size());
}

std::string Topology::encode() const {
  Buffer out;
  out.put(kVersion);
  out.put(static_cast<std::uint32_t>(pus.size()));
  for (const Pu& pu : pus) out.put(pu);
  out.put(static_cast<std::uint32_t>(numas.size()));
  for (const Numa& numa : numas) {
    out.put(numa.os);
    out.put(numa.memory);
  }
  put_devices(out, gpus);
  put_devices(out, nics);
  put_numbers(out, numa_latency);
  put_numbers(out, gpu_links);
  return std::string(as_string_view(out.view()));
}

Result<Topology> Topology::decode(ConstBytes bytes) {
  Cursor in(bytes);
  if (in.get<std::uint32_t>() != kVersion) return Error{Code::kInvalid, "a topology of another version"};
  Topology out;
  out.pus.resize(get_count(in, sizeof(Pu)));
  for (Pu& pu : out.pus) pu = in.get<Pu>();
  out.numas.resize(get_count(in, sizeof(std::uint16_t) + sizeof(std::uint64_t)));
  for (Numa& numa : out.numas) {
    numa.os = in.get<std::uint16_t>();
    numa.memory = in.get<std::uint64_t>();
  }
  out.gpus = get_devices(in, Device::Kind::kGpu);
  out.nics = get_devices(in, Device::Kind::kNic);
  out.numa_latency = get_numbers(in);
  out.gpu_links = get_numbers(in);
  if (!in.ok() || in.left() != 0 || !out.is_valid()) return Error{Code::kInvalid, "a topology that is none"};
  return out;
}

}  // namespace mobula::base
