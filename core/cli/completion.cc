#include "core/cli/completion.h"

#include <map>
#include <string>

#include <CLI/CLI.hpp>

namespace mobula::cli {
namespace {

// The words that may follow each command: its options and subcommands, with what they mean.
using Words = std::map<std::string, std::string>;

Words words_of(const CLI::App& app) {
  Words out;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    out[sub->get_name()] = sub->get_description();
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) out["--" + name] = option->get_description();
  }
  return out;
}

std::string joined(const Words& words) {
  std::string out;
  for (const auto& [word, meaning] : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::string quoted(std::string text) {
  for (std::size_t at = text.find('\''); at != std::string::npos; at = text.find('\'', at + 4))
    text.replace(at, 1, "'\\''");
  return "'" + text + "'";
}

std::string bash(const CLI::App& app) {
  std::string out = "_mobula() {\n  local word=\"${COMP_WORDS[COMP_CWORD]}\" words\n  case \"${COMP_WORDS[1]}\" in\n";
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string words = sub->get_name() == "list"         ? "nodes workers actors jobs "
                              : sub->get_name() == "completion" ? "bash zsh fish "
                                                                : "";
    out += "    " + sub->get_name() + ") words=" + quoted(words + joined(words_of(*sub))) + " ;;\n";
  }
  out += "    *) words=" + quoted(joined(words_of(app))) +
         " ;;\n  esac\n  [ \"$COMP_CWORD\" -eq 1 ] && words=" + quoted(joined(words_of(app))) +
         "\n  COMPREPLY=($(compgen -W \"$words\" -- \"$word\") $(case \"${COMP_WORDS[1]}\" in run|submit) compgen -f "
         "-- \"$word\";; esac))\n}\n"
         "complete -o filenames -F _mobula mobula\n";
  return out;
}

std::string fish(const CLI::App& app) {
  std::string out = "complete -c mobula -f\n";
  for (const auto& [word, meaning] : words_of(app)) {
    if (word[0] != '-')
      out += "complete -c mobula -n __fish_use_subcommand -a " + word + " -d " + quoted(meaning) + "\n";
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    for (const auto& [word, meaning] : words_of(*sub)) {
      if (word.compare(0, 2, "--") != 0) continue;
      out += "complete -c mobula -n '__fish_seen_subcommand_from " + sub->get_name() + "' -l " + word.substr(2) +
             " -d " + quoted(meaning) + "\n";
    }
  }
  return out +
         "complete -c mobula -n '__fish_seen_subcommand_from list' -a 'nodes workers actors jobs'\n"
         "complete -c mobula -n '__fish_seen_subcommand_from run submit' -F\n";
}

}  // namespace

std::optional<std::string> completion_script(const std::string& shell, const CLI::App& app) {
  if (shell == "bash") return bash(app);
  // zsh runs bash's completions through its own bridge.
  if (shell == "zsh") return "autoload -U +X bashcompinit && bashcompinit\n" + bash(app);
  if (shell == "fish") return fish(app);
  return std::nullopt;
}

}  // namespace mobula::cli
