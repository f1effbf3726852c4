// Prints the cluster's nodes with their labels.
#include <iostream>

#include <mobula/mobula.h>

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  std::cout << mobula::cluster_status_json() << "\n";
}
