// says: mobula: a pointer cannot travel to another process
// names: int
#include <mobula/mobula.h>
int f(int* p) { return *p; }
int main() { return mobula::remote<&f>(nullptr).get(); }
