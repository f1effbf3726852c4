#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace mobula::slurm {

// Slurm's short form of many names: "gpu[001-128,130],login1", "rack[1-2]n[1-4]", "n[0-10/2]".  Grammar:
//
//   list    = name *("," name)            an empty text is an empty list
//   name    = 1*(character / "[" range *("," range) "]")
//   range   = number ["-" number ["/" step]]
//
// A number keeps the width of its range's first one ("[08-10]" is 08, 09, 10).  The leftmost brackets vary slowest.
// Characters are letters, digits and "-", ".", "_", ":"; a name does not begin with "-", since names get into command
// lines.

// What a list may cost: bytes of text, names it stands for, bytes of a name.
inline constexpr std::size_t kHostListBytesMax = 4 * 1024 * 1024;
inline constexpr std::size_t kHostsMax = 65'536;
inline constexpr std::size_t kHostNameBytesMax = 255;

// The names in order, repeated ones too.  An error says at which character of the text and what was expected there.
base::Result<std::vector<std::string>> parse_host_list(std::string_view text);

// A short list that stands for exactly these names in this order: parse_host_list gives them back.
// REQUIRES: names that parse_host_list could have given.
std::string write_host_list(const std::vector<std::string>& hosts);

}  // namespace mobula::slurm
