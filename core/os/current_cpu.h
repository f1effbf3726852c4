#pragma once

namespace mobula::os {

unsigned current_cpu();  // Of the calling thread, just now.  A few nanoseconds.

}  // namespace mobula::os
