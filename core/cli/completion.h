#pragma once

#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace mobula::cli {

// A completion script for the shell ("bash", "zsh", "fish"), made from the commands and options of `app`; nullopt for
// others.
std::optional<std::string> completion_script(const std::string& shell, const CLI::App& app);

}  // namespace mobula::cli
