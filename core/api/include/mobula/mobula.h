#pragma once

// Mobula: tasks, actors and objects that span processes and nodes.  See docs/ for tours.
// clang-format off
#include "mobula/detail/portable.h"  // First: its sentences then stand near the top of a compiler's output.
// clang-format on

#include "mobula/actor.h"
#include "mobula/archive.h"
#include "mobula/array.h"
#include "mobula/communicator.h"
#include "mobula/errors.h"
#include "mobula/group.h"
#include "mobula/init.h"
#include "mobula/options.h"
#include "mobula/placement_group.h"
#include "mobula/ref.h"
#include "mobula/remote.h"
#include "mobula/serialize.h"
#include "mobula/task.h"
#include "mobula/wait.h"

namespace mobula {
using namespace std::chrono_literals;
}
