#include <iostream>

#include <mobula/mobula.h>
std::string greet(std::string who) { return "hello " + who; }
int main(int argc, char** argv) {
  auto s = mobula::init(argc, argv);  // same binary: driver here, worker elsewhere
  std::cout << mobula::remote<&greet>("world").get() << "\n";
}
