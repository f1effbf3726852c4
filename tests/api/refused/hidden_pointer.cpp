// says: mobula: a struct with a pointer or a view among its fields cannot travel
// names: Holder
#include <mobula/mobula.h>
struct Holder {
  int n;
  const char* name;
};
int f(Holder h) { return h.n; }
int main() { return mobula::remote<&f>(Holder{1, "x"}).get(); }
