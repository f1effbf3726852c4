#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/cli/commands.h"

namespace mobula::cli {
namespace {

constexpr const char* kCMakeLists = R"(cmake_minimum_required(VERSION 3.25)
project(@NAME@ LANGUAGES CXX)

find_package(mobula REQUIRED)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

add_executable(@NAME@ main.cpp)
target_link_libraries(@NAME@ PRIVATE mobula::mobula)
)";

constexpr const char* kMain = R"(#include <iostream>
#include <vector>

#include <mobula/mobula.h>

long square(long x) { return x * x; }

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  std::vector<mobula::Ref<long>> parts;
  for (long i = 1; i <= 100; ++i) parts.push_back(mobula::remote<&square>(i));
  long sum = 0;
  for (auto& part : parts) sum += part.get();
  std::cout << "the sum of the first 100 squares is " << sum << "\n";
}
)";

constexpr const char* kJob = R"(#!/bin/bash
#SBATCH --job-name=@NAME@
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --time=00:10:00

srun ./build/@NAME@
)";

std::string fill(std::string text, const std::string& name) {
  const std::string mark = "@NAME@";
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at))
    text.replace(at, mark.size(), name);
  return text;
}

bool is_name(const std::string& name) {
  if (name.empty() || name.front() == '-' || (name.front() >= '0' && name.front() <= '9')) return false;
  for (const char c : name) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (!ok) return false;
  }
  return true;
}

}  // namespace

int new_project(const std::string& path) {
  const std::string name = std::filesystem::path(path).filename();
  if (!is_name(name))
    return complain("\"" + name + "\" cannot name a program: letters, digits, _ and -, a letter first");
  std::error_code error;
  if (!std::filesystem::create_directory(path, error))
    return complain("making " + path + ": " +
                    (error ? error.message() + "; its parent must be a directory" : "it exists"));
  for (const auto& [file, text] :
       {std::pair("CMakeLists.txt", kCMakeLists), std::pair("main.cpp", kMain), std::pair("job.sbatch", kJob)}) {
    std::ofstream out(path + "/" + file);
    out << fill(text, name);
    out.close();
    if (!out) return complain("cannot write " + path + "/" + file);
  }
  std::printf(
      "%s: CMakeLists.txt, main.cpp, job.sbatch\n  cd %s && cmake -B build && cmake --build build && ./build/%s\n",
      path.c_str(), path.c_str(), name.c_str());
  return 0;
}

}  // namespace mobula::cli
