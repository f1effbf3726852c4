#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "bench/suite/side_process.h"

namespace mobula::bench {

// Where the programs are.
struct Programs {
  std::string directory;               // Of the sides' executables.
  std::string hello;                   // The example.
  std::string sources;                 // bench/peers.
  std::string fixture;                 // tests/slurm/with-slurm.sh.
  std::set<std::string> peers_wanted;  // Of those that run on request only: ray.
};

// All sides by name, started when first asked.
class Sides {
 public:
  Sides(const Programs& programs, std::string log_directory);

  Answer measure(const std::string& side, const std::string& metric, bool quick);
  bool wanted(const std::string& side) const;
  void stop(const std::string& side) { running_.erase(side); }
  // Versions that sides told, by side.
  const std::map<std::string, std::string>& versions() const { return versions_; }

 private:
  std::map<std::string, SideCommand> commands_;
  std::string log_directory_;
  std::map<std::string, std::unique_ptr<SideProcess>> running_;
  std::map<std::string, std::string> versions_;
};

}  // namespace mobula::bench
