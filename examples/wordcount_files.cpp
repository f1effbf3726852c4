#include "wordcount_files.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <string_view>
#include <system_error>

#include <zlib.h>

namespace wordcount {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void usage(std::string_view what, std::string_view wrong) {
  std::cerr << "wordcount: " << what << wrong << "\nusage: wordcount [--root DIR]... [--parts N] [--top N] [--json]\n";
  std::exit(2);
}

constexpr std::array<char, 256> kLower = [] {  // 0 for what is no letter.
  std::array<char, 256> table{};
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = static_cast<char>(c);
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = static_cast<char>(c - 'A' + 'a');
  return table;
}();

class Counter {
 public:
  explicit Counter(int parts) : parts_(static_cast<std::size_t>(parts)) {}
  void feed(std::string_view text) {
    for (const char c : text) {
      if (const char lower = kLower[static_cast<unsigned char>(c)]) {
        word_.push_back(lower);
      } else {
        end_word();
      }
    }
  }
  void end_word() {
    if (word_.empty()) return;
    ++parts_[std::hash<std::string>{}(word_) % parts_.size()][word_];
    word_.clear();
  }
  std::vector<Counts>& parts() { return parts_; }

 private:
  std::string word_;
  std::vector<Counts> parts_;
};

// gzread passes on what is not compressed, so one reader serves both.
std::int64_t read_file(const std::string& path, Counter& counter) {
  const gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return 0;
  gzbuffer(file, 128 * 1024);
  std::array<char, 64 * 1024> block;
  std::int64_t bytes = 0;
  int n = 0;
  while ((n = gzread(file, block.data(), block.size())) > 0) {
    counter.feed({block.data(), static_cast<std::size_t>(n)});
    bytes += n;
  }
  counter.end_word();  // A word ends with its file.
  gzclose(file);
  return bytes;
}

std::vector<std::pair<std::string, std::int64_t>> sorted(const Counts& counts) {
  std::vector<std::pair<std::string, std::int64_t>> words(counts.begin(), counts.end());
  std::sort(words.begin(), words.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  return words;
}

double mib(std::int64_t bytes) { return static_cast<double>(bytes) / (1024 * 1024); }

void print_json(const std::vector<std::pair<std::string, std::int64_t>>& words, const Totals& totals, double seconds) {
  std::printf("{\"files\": %lld, \"bytes\": %lld, \"seconds\": %.3f, \"nodes\": [",
              static_cast<long long>(totals.files), static_cast<long long>(totals.bytes), seconds);
  const char* comma = "";
  for (const auto& [node, t] : totals.nodes) {
    std::printf("%s{\"node\": \"%s\", \"files\": %lld, \"bytes\": %lld, \"task_seconds\": %.3f}", comma, node.c_str(),
                static_cast<long long>(t.files), static_cast<long long>(t.bytes), t.seconds);
    comma = ", ";
  }
  std::printf("], \"words\": {");
  comma = "";
  for (const auto& [word, count] : words) {
    std::printf("%s\"%s\": %lld", comma, word.c_str(), static_cast<long long>(count));
    comma = ", ";
  }
  std::printf("}}\n");
}

}  // namespace

Options parse(int argc, char** argv) {
  Options out;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    const auto value = [&]() -> const char* {
      if (i + 1 == argc) usage(option, " wants a value");
      return argv[++i];
    };
    if (option == "--root")
      out.roots.emplace_back(value());
    else if (option == "--parts")
      out.parts = std::atoi(value());
    else if (option == "--top")
      out.top = std::atoi(value());
    else if (option == "--json")
      out.json = true;
    else
      usage(option, " is no option");
  }
  if (out.parts < 1) usage("--parts", " wants a number from 1");
  if (out.roots.empty()) {
    out.roots.emplace_back("/usr/share/doc");
    out.roots.emplace_back("/usr/share/common-licenses");
  }
  return out;
}

std::vector<Batch> batches_of(const std::vector<std::string>& roots) {
  constexpr std::uintmax_t kBytesPerBatch = 1024 * 1024, kFilesPerBatch = 256;
  std::vector<std::pair<std::string, std::uintmax_t>> files;
  for (const std::string& root : roots) {
    std::error_code error;
    for (fs::recursive_directory_iterator at(root, fs::directory_options::skip_permission_denied, error), end;
         !error && at != end; at.increment(error)) {
      if (at->is_symlink(error) || !at->is_regular_file(error)) continue;
      files.emplace_back(at->path().string(), at->file_size(error));
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<Batch> out;
  std::uintmax_t bytes = kBytesPerBatch;
  for (auto& [path, size] : files) {
    if (bytes >= kBytesPerBatch || out.back().size() >= kFilesPerBatch) {
      out.emplace_back();
      bytes = 0;
    }
    out.back().push_back(std::move(path));
    bytes += size;
  }
  return out;
}

Mapped map_files(const Batch& files, int parts) {
  const auto started = std::chrono::steady_clock::now();
  Mapped out;
  out.node = mobula::context().node;
  Counter counter(parts);
  for (const std::string& file : files) {
    out.bytes += read_file(file, counter);
    ++out.files;
  }
  for (Counts& part : counter.parts()) out.parts.push_back(mobula::put(std::move(part)));
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return out;
}

Counts reduce_part(const std::vector<mobula::Ref<Counts>>& counts) {
  Counts out;
  for (const mobula::Ref<Counts>& ref : counts) {
    for (auto& [word, count] : mobula::Ref<Counts>(ref).get()) out[word] += count;
  }
  return out;
}

void Totals::add(const Mapped& result) {
  Node& node = nodes[result.node];
  node.files += result.files;
  node.bytes += result.bytes;
  node.seconds += result.seconds;
  files += result.files;
  bytes += result.bytes;
  ++tasks;
}

void Progress::show(const Totals& totals) const {
  if (!enabled_) return;
  std::fprintf(stderr, "\r\033[Kmap %zu of %zu, %lld files, %.1f MiB", totals.tasks, tasks_,
               static_cast<long long>(totals.files), mib(totals.bytes));
}
void Progress::clear() const {
  if (enabled_) std::fprintf(stderr, "\r\033[K");
}

void report(const Options& options, const Counts& counts, const Totals& totals, double seconds) {
  auto words = sorted(counts);
  const std::size_t different = words.size();
  if (options.top >= 0 && words.size() > static_cast<std::size_t>(options.top)) {
    words.resize(static_cast<std::size_t>(options.top));
  }
  if (options.json) return print_json(words, totals, seconds);
  for (const auto& [word, count] : words) std::printf("%10lld %s\n", static_cast<long long>(count), word.c_str());
  std::printf("%zu different words in %lld files, %.1f MiB, in %.2f s\n", different,
              static_cast<long long>(totals.files), mib(totals.bytes), seconds);
  for (const auto& [node, t] : totals.nodes) {
    std::printf("node %s: %lld files, %.1f MiB, %.1f MiB/s\n", node.c_str(), static_cast<long long>(t.files),
                mib(t.bytes), mib(t.bytes) / seconds);
  }
}

}  // namespace wordcount
