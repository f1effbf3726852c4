// says: mobula: this class has no constructor that takes these arguments
// names: C
#include <mobula/mobula.h>
struct C {
  explicit C(int) {}
};
int main() { auto c = mobula::actor<C>(std::string("x")); }
