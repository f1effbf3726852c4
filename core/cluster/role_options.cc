#include "core/cluster/role_options.h"

#include <charconv>
#include <cstdlib>
#include <optional>
#include <type_traits>

namespace mobula::cluster {
namespace {

using base::Code;
using base::Error;
using base::Result;

// Values and names may hold anything: a line's end and the sign between the two are escaped, together with the escape
// itself.
std::string escape(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '=') {
      out += "\\e";
    } else if (c == '\\') {
      out += "\\\\";
    } else {
      out += c;
    }
  }
  return out;
}

std::string unescape(std::string_view value) {
  std::string out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] != '\\' || i + 1 == value.size()) {
      out += value[i];
    } else {
      const char escaped = value[++i];
      out += escaped == 'n' ? '\n' : escaped == 'e' ? '=' : escaped;
    }
  }
  return out;
}

// Both directions run over the same list of fields, so that none is forgotten in one of them.
class Printer {
 public:
  void field(const char* key, const std::string& value) { text_ += std::string(key) + "=" + escape(value) + "\n"; }
  template <class Number>
  requires std::is_integral_v<Number>
  void field(const char* key, const Number& value) { field(key, std::to_string(value)); }
  void field(const char* key, const base::Resources& value) { field(key, print_resources(value)); }
  void field(const char* key, const std::map<std::string, std::string>& value) {
    for (const auto& [name, text] : value) text_ += std::string(key) + "." + escape(name) + "=" + escape(text) + "\n";
  }
  std::string text() && { return std::move(text_); }

 private:
  std::string text_;
};

class Parser {
 public:
  explicit Parser(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      const std::size_t equals = line.find('=');
      if (equals != std::string_view::npos)
        values_[unescape(line.substr(0, equals))] = unescape(line.substr(equals + 1));
      if (end == std::string_view::npos) break;
      text.remove_prefix(end + 1);
    }
  }
  void field(const char* key, std::string& value) {
    if (const auto it = values_.find(key); it != values_.end()) value = it->second;
  }
  template <class Number>
  requires std::is_integral_v<Number>
  void field(const char* key, Number& value) {
    const auto it = values_.find(key);
    if (it == values_.end()) return;
    // A flag is a number, too; others are read as what they are, so that none is cut to fit.
    std::conditional_t<std::is_same_v<Number, bool>, std::uint8_t, Number> parsed = 0;
    const std::string& text = it->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
    if (error != std::errc() || end != text.data() + text.size()) return fail(key, text);
    value = static_cast<Number>(parsed);
  }
  void field(const char* key, base::Resources& value) {
    const auto it = values_.find(key);
    if (it == values_.end()) return;
    auto parsed = parse_resources(it->second);
    if (!parsed) return fail(key, it->second);
    value = std::move(*parsed);
  }
  void field(const char* key, std::map<std::string, std::string>& value) {
    const std::string prefix = std::string(key) + ".";
    for (auto it = values_.lower_bound(prefix); it != values_.end() && it->first.compare(0, prefix.size(), prefix) == 0;
         ++it) {
      value[it->first.substr(prefix.size())] = it->second;
    }
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  void fail(const char* key, const std::string& value) {
    if (!error_) error_ = Error{Code::kInvalid, std::string("option ") + key + " cannot be \"" + value + "\""};
  }
  std::map<std::string, std::string> values_;
  std::optional<Error> error_;
};

template <class Visitor, class Options>
void visit_common(Visitor& v, Options& o) {
  v.field("session", o.session_directory);
  v.field("cluster", o.cluster_name);
  v.field("interface", o.tcp_interface);
  v.field("life_fd", o.life_fd);
  v.field("ready_fd", o.ready_fd);
  v.field("remove_session", o.remove_session);
}

template <class Visitor, class Options>
void visit_gcs(Visitor& v, Options& o) {
  visit_common(v, o);
  v.field("listening_fd", o.listening_fd);
  v.field("end_unix_ms", o.end_unix_ms);
  v.field("end_refresh_ms", o.end_refresh_ms);
  v.field("joined_fd", o.joined_fd);
}

template <class Visitor, class Options>
void visit_raylet(Visitor& v, Options& o) {
  visit_common(v, o);
  v.field("name", o.name);
  v.field("gcs", o.gcs_address);
  v.field("resources", o.resources);
  v.field("labels", o.labels);
  v.field("settings", o.settings);
  v.field("store_bytes", o.store_bytes);
  v.field("store_extent_bytes", o.store_extent_bytes);
  v.field("workers_max", o.workers_max);
  v.field("prestart", o.prestart);
  v.field("idle_timeout_ms", o.idle_timeout_ms);
  v.field("gcs_listening_fd", o.gcs_listening_fd);
  v.field("spin_page_fd", o.spin_page_fd);
}

// Calls take(name, value) for each "name=value" of a list; kInvalid for a part without a name or sign.
template <class Take>
Result<void> each_pair(std::string_view text, Take take) {
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t equals = part.find('=');
    if (equals == 0 || equals == std::string_view::npos ||
        !take(std::string(part.substr(0, equals)), std::string(part.substr(equals + 1)))) {
      return Error{Code::kInvalid, "\"" + std::string(part) + "\" is not name=value"};
    }
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return {};
}

// Digits with up to four decimals are exact, whatever the size; anything else is what strtod() makes of it.
std::optional<base::Amount> parse_amount(const std::string& text) {
  constexpr std::uint64_t kWholeMax = 10'000'000'000'000;
  std::uint64_t whole = 0;
  const char* const end = text.data() + text.size();
  const char* at = std::from_chars(text.data(), end, whole).ptr;
  if (at != text.data() && whole <= kWholeMax) {
    auto units = static_cast<std::int64_t>(whole) * base::Amount::kPerOne;
    if (at == end) return base::Amount{units};
    const std::string_view decimals(at, static_cast<std::size_t>(end - at));
    if (decimals.front() == '.' && decimals.size() > 1 && decimals.size() <= 5 &&
        decimals.find_first_not_of("0123456789", 1) == std::string_view::npos) {
      std::int64_t place = base::Amount::kPerOne;
      for (const char c : decimals.substr(1)) units += (c - '0') * (place /= 10);
      return base::Amount{units};
    }
  }
  char* stop = nullptr;
  const double amount = std::strtod(text.c_str(), &stop);
  if (text.empty() || stop != end || !(amount >= 0) || amount > static_cast<double>(kWholeMax)) return std::nullopt;
  return base::Amount::of(amount);
}

}  // namespace

Result<base::Resources> parse_resources(std::string_view text) {
  base::Resources out;
  const auto done = each_pair(text, [&out](std::string name, const std::string& value) {
    const auto amount = parse_amount(value);
    if (amount) out.set(name, *amount);
    return amount.has_value();
  });
  if (!done) return done.error();
  return out;
}

std::string print_resources(const base::Resources& resources) {
  std::string out;
  for (const auto& [name, amount] : resources.all()) {
    std::string fraction = std::to_string(base::Amount::kPerOne + amount.units % base::Amount::kPerOne).substr(1);
    out +=
        (out.empty() ? "" : ",") + name + "=" + std::to_string(amount.units / base::Amount::kPerOne) + "." + fraction;
  }
  return out;
}

Result<std::map<std::string, std::string>> parse_labels(std::string_view text) {
  std::map<std::string, std::string> out;
  const auto done = each_pair(text, [&out](std::string name, std::string value) {
    out[std::move(name)] = std::move(value);
    return true;
  });
  if (!done) return done.error();
  return out;
}

std::string print(const GcsOptions& options) {
  Printer printer;
  visit_gcs(printer, options);
  return std::move(printer).text();
}

std::string print(const RayletOptions& options) {
  Printer printer;
  visit_raylet(printer, options);
  return std::move(printer).text();
}

Result<GcsOptions> parse_gcs_options(std::string_view text) {
  GcsOptions options;
  Parser parser(text);
  visit_gcs(parser, options);
  if (parser.error()) return *parser.error();
  return options;
}

Result<RayletOptions> parse_raylet_options(std::string_view text) {
  RayletOptions options;
  Parser parser(text);
  visit_raylet(parser, options);
  if (parser.error()) return *parser.error();
  return options;
}

}  // namespace mobula::cluster
