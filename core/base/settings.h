#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace mobula::base {

// One knob of the runtime.  Set by `key = value` in mobula.toml, by MOBULA_KEY in the environment, or by --set
// key=value; later ones win in this order.
enum class SettingKind : unsigned char { kText, kNumber, kCount, kBytes, kFlag, kChoice };
struct SettingInfo {
  const char* key;            // snake_case; MOBULA_ and upper case in the environment.
  const char* default_value;  // "auto": worked out from the machine.
  const char* doc;            // One sentence.
  SettingKind kind = SettingKind::kText;
  const char* choices = "";  // Of kChoice: words.
};
std::span<const SettingInfo> all_settings();

// No amount of memory is more.
inline constexpr std::uint64_t kSettingBytesMax = std::uint64_t{1} << 60;

enum class SettingSource : unsigned char { kDefault, kFile, kEnvironment, kCommandLine };
const char* name_of(SettingSource source);

// The settings of one process, each with where it came from.
class Settings {
 public:
  struct Value {
    std::string text;
    SettingSource source = SettingSource::kDefault;
    std::string where;  // The file, or the variable.
  };
  Settings();  // The defaults.

  // kInvalid for a key that does not exist, with the nearest one that does.  A weaker source does not replace a
  // stronger one.
  Result<void> set(const std::string& key, std::string value, SettingSource source, std::string where);
  // MOBULA_KEY for each key; other variables are nobody's business.
  Result<void> take_environment(const std::vector<std::string>& environment);

  // kInvalid for a value that is not of its setting's kind, with where it comes from and what is wanted.
  Result<void> check() const;

  const Value& at(std::string_view key) const;  // REQUIRES: the key exists.
  const std::string& text(std::string_view key) const { return at(key).text; }
  bool is_auto(std::string_view key) const { return text(key) == "auto" || text(key).empty(); }
  Result<double> number(std::string_view key) const;        // kInvalid names the key and the text.
  Result<std::uint64_t> bytes(std::string_view key) const;  // "512M", "2GiB", "1000000".
  bool flag(std::string_view key) const;                    // 1, true, yes, on.
  const std::map<std::string, Value, std::less<>>& all() const { return values_; }

 private:
  Result<void> check(const SettingInfo& info) const;

  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace mobula::base
