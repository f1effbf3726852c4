#pragma once

#include <cstdint>
#include <string>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/os/memory_file.h"

namespace mobula::os {

// What can be asked for pages of a mapping that is there already.  Ranges begin and end at page boundaries.

base::Result<void> set_access(base::Bytes range, Access access);

// Takes from the machine those pages of the file that it has not got yet, and maps all.  kExhausted when the machine
// has none: no signal comes.  kInvalid on a kernel without it (before 5.14).
base::Result<void> populate(base::Bytes range);
// Maps pages that the file has got (reserve() did that), several at a time: a seventh of what a first
// write to each costs.  In a writable mapping writing them then faults no more.
base::Result<void> map_reserved(base::Bytes range);

void ask_for_huge_pages(base::Bytes range);

// How the kernel gives huge pages to memory files (/sys/kernel/mm/transparent_hugepage/shmem_enabled):
// "always", "within_size", "advise", "never", "deny", "force", or "" when it does not say.
std::string shared_huge_page_setting();
bool shared_huge_pages_on_request();  // The setting is one that ask_for_huge_pages() makes use of.
std::size_t huge_page_size();         // 0 when the machine has none.
// How much of a range is mapped by huge pages in this process.  Slow: for reports.
std::uint64_t huge_bytes_mapped(base::ConstBytes range);

}  // namespace mobula::os
