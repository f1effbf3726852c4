// Counts the words of all documents below some directories, gzip files too, on every node of the cluster.
//
//   wordcount [--root DIR]... [--parts N] [--top N] [--json]     (default: /usr/share/doc, /usr/share/common-licenses)
//
// A word is a longest run of the letters A to Z and a to z, in lower case, byte by byte.  For the same files this is
//   zcat -f FILES | LC_ALL=C tr -cs 'A-Za-z' '\n' | LC_ALL=C tr 'A-Z' 'a-z' | grep . | sort | uniq -c
#include <unistd.h>

#include <chrono>
#include <iostream>

#include <mobula/mobula.h>

#include "wordcount_files.h"

using namespace wordcount;

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  const Options options = parse(argc, argv);
  const auto started = std::chrono::steady_clock::now();

  // Map: each task reads some files and splits its counts by word into as many parts as there are reducers.
  std::vector<mobula::Ref<Mapped>> mapped;
  for (Batch& batch : batches_of(options.roots)) {
    mapped.push_back(mobula::remote<&map_files>.with({.name = "map", .scheduling = mobula::Spread{}})(std::move(batch),
                                                                                                      options.parts));
  }
  Progress progress(mapped.size(), !options.json && isatty(STDERR_FILENO) != 0);
  std::vector<std::vector<mobula::Ref<Counts>>> shuffle(static_cast<std::size_t>(options.parts));
  Totals totals;
  for (auto waiting = mapped; !waiting.empty();) {
    auto [done, rest] = mobula::wait(waiting, {.count = 1});
    const Mapped& result = done[0].get();  // The counts stay where they are: a Mapped holds Refs to them.
    for (std::size_t part = 0; part < result.parts.size(); ++part) shuffle[part].push_back(result.parts[part]);
    totals.add(result);
    progress.show(totals);
    waiting = std::move(rest);
  }
  // Reduce: one task for each part fetches that part's counts from all nodes and adds them.
  std::vector<mobula::Ref<Counts>> reduced;
  for (auto& part : shuffle) reduced.push_back(mobula::remote<&reduce_part>(std::move(part)));
  Counts all;
  for (const auto& part : reduced) {
    for (const auto& [word, count] : part.get()) all.emplace(word, count);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  progress.clear();
  report(options, all, totals, took.count());
}
