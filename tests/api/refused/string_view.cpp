// says: mobula: a view (span, string_view, reference_wrapper) cannot travel
// names: basic_string_view
#include <mobula/mobula.h>
int f(std::string_view s) { return static_cast<int>(s.size()); }
int main() { return mobula::remote<&f>("text").get(); }
