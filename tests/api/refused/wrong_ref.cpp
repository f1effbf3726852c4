// says: Arg<int>
// names: string
#include <mobula/mobula.h>
int f(int a) { return a; }
int main() { return mobula::remote<&f>(mobula::Ref<std::string>()).get(); }
