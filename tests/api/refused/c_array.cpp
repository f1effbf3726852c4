// says: mobula: this type cannot travel
// names: Boxes
#include <mobula/mobula.h>
struct Boxes {
  std::string name;
  int sizes[3];
};
int f(Boxes b) { return b.sizes[0]; }
int main() { return mobula::remote<&f>(Boxes{}).get(); }
