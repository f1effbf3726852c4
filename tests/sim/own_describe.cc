#include "tests/sim/own_process.h"

namespace mobula::sim {

using namespace objstore;

namespace {

// Objects are named after who made them, and counted: "3.1".
std::string name(const base::WorkerId& process) { return "p" + std::to_string(process.word(0)); }
std::string name(const base::ObjectId& object) {
  return std::to_string(object.word(0) >> 48) + "." + std::to_string(object.word(0) & 0xffff'ffff);
}
std::string list(const std::vector<RefName>& refs) {
  std::string text = "[";
  for (const RefName& ref : refs) text += (text.size() > 1 ? " " : "") + name(ref.object);
  return text + "]";
}

struct Describe {
  std::string operator()(const CallLetter& l) const { return "call " + std::to_string(l.call) + " " + list(l.refs); }
  std::string operator()(const ReplyLetter& l) const { return "reply " + std::to_string(l.call) + " " + list(l.refs); }
  std::string operator()(const GetLetter& l) const { return "get " + name(l.object); }
  std::string operator()(const ValueLetter& l) const { return "value " + name(l.object) + " " + list(l.inside); }
  std::string operator()(const Tell& l) const {
    std::string text = "tell";
    for (const Statement& s : l.statements) {
      text += " #" + std::to_string(s.seq);
      switch (s.verb) {
        case Statement::Verb::kBorrow: text += " borrow " + name(s.object); break;
        case Statement::Verb::kRelease: text += " release " + name(s.object); break;
        case Statement::Verb::kHeld: text += " held " + std::to_string(s.handover); break;
      }
    }
    return text + " floor " + std::to_string(l.floor);
  }
  std::string operator()(const Told& l) const {
    std::string text = "told";
    for (const Answer& a : l.answers) text += " #" + std::to_string(a.seq) + (a.known ? "" : " unknown");
    return text;
  }
};

}  // namespace

std::string to_string(const Envelope& e) {
  return name(e.from) + " -> " + name(e.to) + ": " + std::visit(Describe{}, e.letter);
}

std::string OwnProcess::describe() const {
  std::string text = name(self_) + "\n";
  for (const auto& [id, local] : objects_) {
    text += name(id) + " x" + std::to_string(local.count) + (local.claimed ? " claimed" : "") +
            (local.lent ? " lent" : "") + (local.lost ? " lost" : "") + list(local.inside) + "\n";
  }
  for (const auto& [id, scope] : scopes_) {
    text += "scope " + std::to_string(id) + " of " + name(scope.from) + "/" + std::to_string(scope.call) +
            list(scope.adopted) + list(scope.variables) + list(scope.results) + (scope.answering ? "!" : "") + "\n";
  }
  for (const auto& [id, call] : calls_) {
    text += "call " + std::to_string(id) + " to " + name(call.to) + list(call.pins) + "\n";
  }
  for (const auto& [key, refs] : returned_) {
    text += "returned " + name(key.first) + "/" + std::to_string(key.second) + list(refs) + "\n";
  }
  for (const auto& [id, scopes] : gets_) {
    text += "get " + name(id);
    for (const Get& g : scopes) text += " " + std::to_string(g.scope) + (g.outer == Outer::kDropped ? "-" : "");
    text += "\n";
  }
  for (const auto& [peer, refs] : graves_) text += "grave of " + name(peer) + list(refs) + "\n";
  for (const auto& d : dead_) text += "dead " + name(d) + "\n";
  return text + machine_.describe();
}

}  // namespace mobula::sim
