// says: mobula: a view (span, string_view, reference_wrapper) cannot travel
// names: span<float
#include <mobula/mobula.h>
float f(std::span<float> s) { return s[0]; }
int main() {
  float x[1] = {1};
  return static_cast<int>(mobula::remote<&f>(std::span<float>(x)).get());
}
