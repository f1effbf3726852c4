# Makes one program of a page's blocks: ```cpp at namespace scope, ```cpp main inside main, in order; ```text is what
# the program prints.  Variables: page (its name), program and expected (files to write).
BEGIN {
  mode = ""
  head = "// From " page ".\n#include <mobula/mobula.h>\n\n#include <algorithm>\n#include <cstdlib>\n#include <iostream>\n#include <numeric>\n#include <string>\n#include <tuple>\n#include <vector>\n"
  printf "" > expected
}
/^```/ {
  if (mode != "") { mode = ""; next }
  if ($0 == "```cpp") mode = "scope"
  else if ($0 == "```cpp main") mode = "main"
  else if ($0 == "```text") mode = "text"
  else mode = "other"
  next
}
mode == "scope" { scope = scope "#line " NR " \"" page "\"\n" $0 "\n" }
mode == "main" { body = body "#line " NR " \"" page "\"\n" $0 "\n" }
mode == "text" { print > expected }
END {
  print head "\n" scope "\nint main(int argc, char** argv) {\n  auto session = mobula::init(argc, argv);\n" body "}" > program
}
