// says: Arg<int>
// names: string
#include <mobula/mobula.h>
int f(int a, int b) { return a + b; }
int main() { return mobula::remote<&f>(1, std::string("x")).get(); }
