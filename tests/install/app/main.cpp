#include <iostream>
#include <string>

#include <mobula/mobula.h>

std::string greet(std::string who) { return "hello " + who; }

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  std::cout << mobula::remote<&greet>("world").get() << "\n";
}
