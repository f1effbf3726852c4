// says: mobula: a shared_ptr cannot travel
// names: shared_ptr<int>
#include <mobula/mobula.h>
int f(std::shared_ptr<int> p) { return *p; }
int main() { return mobula::remote<&f>(std::make_shared<int>(1)).get(); }
