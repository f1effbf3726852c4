# What `cmake --install` gives.
include_guard(GLOBAL)
