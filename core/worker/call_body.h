#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/ids.h"
#include "core/worker/address.h"
#include "core/worker/messages.h"

namespace mobula::runtime {

// One value as a message describes it: `bytes` where it is inline, else where its copies are.
struct DescribedValue {
  Returned head;
  base::ConstBytes bytes;
  std::vector<base::NodeId> holders;
};
// False when it is malformed; takes no memory for what is not there.
bool read_described(base::Cursor& in, DescribedValue& value);

// The arguments of a call as they came over the wire, one after the other; the bytes stay the message's.
//
//   argument_bytes: kind (1), size (4), bytes ...; a reference has no bytes, and its size is its place among those
//   the rest:       converter (8), object (28), described value, owner; once for each reference
class CallBody {
 public:
  struct Argument {
    bool is_reference = false;
    bool is_plain = false;   // The bytes of the value itself.
    base::ConstBytes bytes;  // Else a well-framed payload.
    std::uint64_t converter = 0;
    base::ObjectId object;
    DescribedValue value;
    ProcessAddress owner;
  };

  CallBody(base::ConstBytes message, std::size_t arguments, std::size_t argument_bytes, std::size_t references);

  bool plausible() const { return plausible_; }  // Whether the message has room for so many.
  bool next(Argument& out);                      // REQUIRES: plausible().  False when it is malformed.
  bool complete() const { return used_ == references_; }

 private:
  bool read_reference(Argument& out);

  bool plausible_;
  std::size_t references_;
  std::size_t used_ = 0;
  base::Cursor in_;
  base::Cursor tail_;
};

}  // namespace mobula::runtime
