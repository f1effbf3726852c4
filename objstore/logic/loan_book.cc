#include "objstore/logic/loan_book.h"

#include "objstore/logic/planted.h"

namespace mobula::objstore {

bool LoanBook::add(const base::ObjectId& object, const base::WorkerId& borrower) {
  auto& borrowers = borrowers_[object];
  const bool first = borrowers.empty();
  borrowers.insert(borrower);
  objects_[borrower].insert(object);
  return first;
}

bool LoanBook::remove(const base::ObjectId& object, const base::WorkerId& borrower) {
  const auto loans = borrowers_.find(object);
  if (loans == borrowers_.end() || loans->second.erase(borrower) == 0) return false;
  const auto theirs = objects_.find(borrower);
  theirs->second.erase(object);
  if (theirs->second.empty()) objects_.erase(theirs);
  if (loans->second.empty()) {
    borrowers_.erase(loans);
    return true;
  }
  return planted(Mistake::kFreedAtFirstRelease);
}

bool LoanBook::has(const base::ObjectId& object, const base::WorkerId& borrower) const {
  const auto loans = borrowers_.find(object);
  return loans != borrowers_.end() && loans->second.contains(borrower);
}

std::vector<base::ObjectId> LoanBook::remove_all(const base::WorkerId& borrower) {
  std::vector<base::ObjectId> let_go;
  const auto theirs = objects_.find(borrower);
  if (theirs == objects_.end()) return let_go;
  for (const base::ObjectId& object : std::set<base::ObjectId>(theirs->second)) {
    if (remove(object, borrower)) let_go.push_back(object);
  }
  return let_go;
}

bool LoanBook::is_valid() const {
  std::size_t loans = 0, theirs = 0;
  for (const auto& [object, borrowers] : borrowers_) {
    if (borrowers.empty()) return false;
    loans += borrowers.size();
  }
  for (const auto& [borrower, objects] : objects_) {
    if (objects.empty()) return false;
    for (const base::ObjectId& object : objects) {
      if (!has(object, borrower)) return false;
    }
    theirs += objects.size();
  }
  return loans == theirs;
}

}  // namespace mobula::objstore
