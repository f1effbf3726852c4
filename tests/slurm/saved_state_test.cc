#include "core/worker/saved_state.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "core/base/bytes.h"

namespace mobula::runtime {
namespace {

using base::Code;

struct SavedStateTest : testing::Test {
  SavedStateTest() {
    char name[] = "/tmp/mobula-state-XXXXXX";
    root = ::mkdtemp(name);
    (void)settings.set("state_directory", root, base::SettingSource::kEnvironment, "test");
  }
  ~SavedStateTest() override { std::filesystem::remove_all(root); }

  SavedState in_job(const std::string& restarts) const {
    std::vector<std::string> environment{"SLURM_JOB_ID=4711"};
    if (!restarts.empty()) environment.push_back("SLURM_RESTART_COUNT=" + restarts);
    return SavedState::from_settings(settings, environment, "app");
  }
  static std::string read(const SavedState& state, std::string_view name) {
    const auto bytes = state.read(name);
    if (!bytes) return "(" + bytes.error().what + ")";
    return std::string(base::as_string_view(base::ConstBytes(*bytes)));
  }
  static void write(const SavedState& state, std::string_view name, std::string_view text) {
    const auto written = state.write(name, base::as_bytes(text));
    EXPECT_TRUE(written.ok()) << written.error().what;
  }

  std::string root;
  base::Settings settings;
};

TEST_F(SavedStateTest, ARestartedJobFindsWhatItsLastRunSaved) {
  const SavedState first = in_job("");
  EXPECT_FALSE(first.resumes());
  write(first, "model", "one");
  EXPECT_FALSE(first.resumes());
  const SavedState second = in_job("1");
  EXPECT_TRUE(second.resumes());
  EXPECT_EQ(read(second, "model"), "one");
  write(second, "model", "two");
  EXPECT_EQ(read(in_job("2"), "model"), "two");
  EXPECT_EQ(read(first, "model"), "one") << "a run does not see later ones";
}

TEST_F(SavedStateTest, ARunThatSavedNothingHandsOnWhatWasThere) {
  write(in_job(""), "model", "one");
  EXPECT_TRUE(in_job("3").resumes());
  EXPECT_EQ(read(in_job("3"), "model"), "one");
}

TEST_F(SavedStateTest, JobsAreApart) {
  write(in_job(""), "model", "one");
  const auto other = SavedState::from_settings(settings, {"SLURM_JOB_ID=4712", "SLURM_RESTART_COUNT=1"}, "app");
  EXPECT_FALSE(other.resumes());
  EXPECT_EQ(other.read("model").error().code, Code::kNotFound);
}

TEST_F(SavedStateTest, OutsideSlurmAProgramGoesOnFromItsOwnLastRun) {
  const auto start = [this](const char* program) { return SavedState::from_settings(settings, {}, program); };
  const SavedState first = start("app");
  EXPECT_FALSE(first.resumes());
  write(first, "model", "one");
  EXPECT_TRUE(start("app").resumes());
  EXPECT_EQ(read(start("app"), "model"), "one");
  EXPECT_FALSE(start("other").resumes());
}

TEST_F(SavedStateTest, DamagedFilesAreNotBelieved) {
  write(in_job(""), "model", "old and whole");
  write(in_job("1"), "model", "new and damaged");
  const std::string path = root + "/4711/run-1/model";
  for (const std::streamoff at : {0, 8, 16, 24, 40}) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const char before = static_cast<char>(file.get());
    file.seekp(at);
    file.put(static_cast<char>(before ^ 1));
    file.close();
    EXPECT_EQ(read(in_job("1"), "model"), "old and whole") << "byte " << at;
    file.open(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.put(before);
  }
  EXPECT_EQ(read(in_job("1"), "model"), "new and damaged");
  std::filesystem::resize_file(path, 10);
  std::filesystem::remove(root + "/4711/run-0/model");
  EXPECT_EQ(in_job("1").read("model").error().code, Code::kLost);
}

TEST_F(SavedStateTest, NamesCannotLeaveTheDirectory) {
  EXPECT_EQ(file_name_of("../../etc/passwd"), "%2E.%2F..%2Fetc%2Fpasswd");
  EXPECT_EQ(file_name_of(""), "%");
  write(in_job(""), "../model", "x");
  EXPECT_EQ(read(in_job(""), "../model"), "x");
  EXPECT_TRUE(std::filesystem::exists(root + "/4711/run-0/%2E.%2Fmodel"));
}

TEST_F(SavedStateTest, TravelsToWorkersAsText) {
  const SavedState state = in_job("2");
  const SavedState there = SavedState::from_variable(state.to_variable());
  EXPECT_EQ(there.directory(), root + "/4711");
  EXPECT_EQ(there.run(), 2u);
  for (const char* text : {"", "x", "1:", ":/tmp", "x:/tmp"})
    EXPECT_FALSE(SavedState::from_variable(text).exists()) << text;
}

TEST_F(SavedStateTest, WithoutADirectoryNothingIsSaved) {
  const SavedState nowhere = SavedState::from_settings(base::Settings(), {}, "app");
  EXPECT_FALSE(nowhere.exists());
  EXPECT_EQ(nowhere.write("x", {}).error().code, Code::kInvalid);
  EXPECT_EQ(nowhere.read("x").error().code, Code::kNotFound);
  const auto in_slurm =
      SavedState::from_settings(base::Settings(), {"SLURM_JOB_ID=7", "SLURM_SUBMIT_DIR=/home/x"}, "app");
  EXPECT_EQ(in_slurm.directory(), "/home/x/mobula-state/7");
}

}  // namespace
}  // namespace mobula::runtime
