#pragma once

#include <string>

#include "core/base/result.h"
#include "core/base/settings.h"
#include "core/cluster/embedded.h"

namespace mobula::cluster {

// The settings of this process: those given (defaults, and what the program itself asked init() for), then the file
// (MOBULA_CONFIG, else ./mobula.toml, else ~/.config/mobula/mobula.toml), then the environment.  kInvalid names the
// file and the line, or the variable, and says what is wanted.
base::Result<base::Settings> load_settings(base::Settings settings = {});

// What they say about clusters that this process starts.
base::Result<EmbeddedOptions> embedded_options(const base::Settings& settings);
base::Result<GcsOptions> gcs_options(const base::Settings& settings);        // The same.
base::Result<RayletOptions> raylet_options(const base::Settings& settings);  // All but names and addresses.

}  // namespace mobula::cluster
