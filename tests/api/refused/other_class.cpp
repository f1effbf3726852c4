// says: mobula: this type cannot travel
// names: Secret
#include <mobula/mobula.h>
class Secret {
 public:
  virtual ~Secret() = default;

 private:
  std::string text_;
};
int f(Secret) { return 1; }
int main() { return mobula::remote<&f>(Secret()).get(); }
