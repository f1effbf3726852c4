#include <algorithm>
#include <iostream>
#include <numeric>
#include <random>

#include <mobula/mobula.h>
struct Counter {
  int n;
  explicit Counter(int n0 = 0) : n(n0) {}
  int add(int k) { return n += k; }
  int get() const { return n; }
  int add(double) { return -1; }
};
long inside(int seed, long n) {
  std::mt19937 g(seed);
  std::uniform_real_distribution<> u;
  long k = 0;
  while (n--) {
    double x = u(g), y = u(g);
    k += x * x + y * y < 1;
  }
  return k;
}
int load(int i) { return i; }
int prep(int x) { return x * 2; }
int merge(int a, int b) { return a + b; }
int boom(int) { throw std::out_of_range("index 7"); }
mobula::Task<int> pipeline(int i) {
  int a = co_await mobula::remote<&load>(i);
  int b = co_await mobula::remote<&prep>(a);
  co_return a + b;
}
using vec = std::vector<float>;
struct PS {
  vec w;
  explicit PS(std::size_t n) : w(n) {}
  vec push(vec g) {
    for (std::size_t i = 0; i < w.size(); i++) w[i] -= 0.1f * g[i];
    return w;
  }
};
vec grad(vec w, int shard) {
  for (auto& x : w) x += shard;
  return w;
}
double sum(mobula::Array<float> a) {
  auto s = a.span();
  return std::accumulate(s.begin(), s.end(), 0.0);
}
int main(int argc, char** argv) {
  auto s = mobula::init(argc, argv);
  auto c = mobula::actor<Counter>.with({.cpus = 0.5, .max_restarts = 3, .name = "counter"})(10);  // actor
  std::cout << mobula::method<mobula::overload<int(int)>(&Counter::add)>(c, 5).get() << ' '
            << c.at<&Counter::get>()().get() << '\n';
  std::vector<mobula::Ref<long>> hits;
  for (int i = 0; i < 8; i++)
    hits.push_back(mobula::remote<&inside>.with({.cpus = 1, .max_retries = 2})(i, 10000L));  // fan-out
  auto [done, rest] = mobula::wait(hits, {.count = hits.size(), .timeout = std::chrono::seconds(10)});
  long k = 0;
  for (auto& r : done) k += r.get();
  std::cout << 4.0 * k / 80000 << '\n';
  auto a = mobula::remote<&load>(1), b = mobula::remote<&load>(2);
  auto m = mobula::remote<&merge>(mobula::remote<&prep>(a), b);
  std::cout << m.get() << ' ' << mobula::remote<&pipeline>(3).get() << '\n';  // DAG + coroutine
  auto ps = mobula::actor<PS>(std::size_t{4});
  auto w = mobula::put(vec(4));
  for (int it = 0; it < 3; it++) w = mobula::method<&PS::push>(ps, mobula::remote<&grad>(w, 1));
  std::cout << w.get()[0] << '\n';  // parameter server
  auto arr = mobula::alloc<float>(1000);
  std::fill(arr.mut().begin(), arr.mut().end(), 1.f);
  auto obj = mobula::seal(std::move(arr));
  std::cout << mobula::remote<&sum>(obj).get() << '\n';  // zero-copy view
  try {
    (void)mobula::remote<&boom>(1).get();
  } catch (const std::exception& e) {
    std::cout << e.what() << '\n';
  }
  std::cout << mobula::remote<[](int x) { return x * x; }>(7).get() << '\n';  // captureless lambda
}
