#include "core/base/resources.h"

namespace mobula::base {
namespace {

// At most four decimals and no trailing zeros: 1, 0.5, 0.0001.  Exact, whatever the size.
void append_amount(std::string& out, Amount amount) {
  const bool negative = amount.units < 0;
  const std::uint64_t units =
      negative ? std::uint64_t{0} - static_cast<std::uint64_t>(amount.units) : static_cast<std::uint64_t>(amount.units);
  if (negative) out += '-';
  out += std::to_string(units / Amount::kPerOne);
  std::uint64_t fraction = units % Amount::kPerOne;
  if (fraction == 0) return;
  out += '.';
  for (std::uint64_t place = Amount::kPerOne / 10; fraction != 0; place /= 10) {
    out += static_cast<char>('0' + fraction / place);
    fraction %= place;
  }
}

}  // namespace

std::string Resources::to_string() const {
  if (amounts_.empty()) return "nothing";
  std::string out;
  for (const auto& [name, amount] : amounts_) {
    if (!out.empty()) out += ' ';
    out += name;
    out += '=';
    append_amount(out, amount);
  }
  return out;
}

}  // namespace mobula::base
