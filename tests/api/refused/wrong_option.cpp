// says: TaskOptions
// names: TaskOptions
#include <mobula/mobula.h>
int f(int a) { return a; }
int main() { return mobula::remote<&f>.with({.cpu = 1})(1).get(); }
