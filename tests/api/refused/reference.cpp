// says: mobula: a remote function cannot take T&
// names: int
#include <mobula/mobula.h>
void f(int& x) { ++x; }
int main() {
  int x = 0;
  mobula::remote<&f>(x).get();
}
