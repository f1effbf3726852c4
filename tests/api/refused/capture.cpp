// says: mobula: a lambda that captures cannot travel
// names: lambda
#include <mobula/mobula.h>
int main() {
  int x = 0;
  auto r = mobula::put([x] { return x; });
}
