#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <vector>

#include "objstore/logic/ownership_messages.h"

namespace mobula::objstore {

// The owner's half: which of this process's objects which other processes hold.
class LoanBook {
 public:
  // True: nobody else held it before.
  bool add(const base::ObjectId& object, const base::WorkerId& borrower);
  // True: nobody else holds it any more.
  bool remove(const base::ObjectId& object, const base::WorkerId& borrower);
  // All that it held; returns what nobody else holds any more.
  std::vector<base::ObjectId> remove_all(const base::WorkerId& borrower);
  bool has(const base::ObjectId& object, const base::WorkerId& borrower) const;

  std::size_t size() const { return borrowers_.size(); }
  const std::map<base::ObjectId, std::set<base::WorkerId>>& all() const { return borrowers_; }
  bool is_valid() const;

 private:
  std::map<base::ObjectId, std::set<base::WorkerId>> borrowers_;
  std::map<base::WorkerId, std::set<base::ObjectId>> objects_;  // The same, by borrower.
};

}  // namespace mobula::objstore
