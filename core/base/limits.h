#pragma once

#include <cstddef>
#include <cstdint>

namespace mobula::base {

// Limits that several folders must agree on.  Whatever a peer may send is held against one of these
// before memory is taken for it.

// Arguments and results up to this size travel inside messages; larger ones go through the store.
inline constexpr std::size_t kInlineObjectBytesMax = 100 * 1024;
// One frame of the control channel: a protobuf message with its envelope.
inline constexpr std::size_t kControlFrameBytesMax = 16 * 1024 * 1024;
// One active message of the data path: header, arguments inline and their framing.
inline constexpr std::size_t kActiveMessageBytesMax = 1024 * 1024;
// A frame before the peer has shown that it knows the secret.
inline constexpr std::size_t kHandshakeFrameBytesMax = 512;

// Arguments of one task; refs in one message; results of one task.
inline constexpr std::size_t kTaskArgumentsMax = 256;
inline constexpr std::size_t kRefsPerMessageMax = 65'536;
inline constexpr std::size_t kTaskReturnsMax = 256;
// Names of actors, namespaces, resources, labels and keys.
inline constexpr std::size_t kNameBytesMax = 4096;
inline constexpr std::size_t kResourcesPerNodeMax = 1024;

// Text of an error: each string, and the lines of evidence.
inline constexpr std::size_t kErrorStringBytesMax = 64 * 1024;
inline constexpr std::size_t kErrorEvidenceMax = 64;

// Whether a piece of data may wait: attempts of a system failure before it becomes the user's error.
inline constexpr std::uint32_t kTaskRetriesDefault = 3;

}  // namespace mobula::base
