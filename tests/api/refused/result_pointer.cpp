// says: mobula: a pointer cannot travel to another process
// names: char
#include <mobula/mobula.h>
const char* f(int) { return "x"; }
int main() { return mobula::remote<&f>(1).get()[0]; }
