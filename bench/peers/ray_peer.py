"""Ray's side of the benchmark: the same shapes through Ray's public API, on the same cores.

Answers lines "METRIC full|quick" with "ok VALUE" or "no REASON" (bench/sides/serve.h).
"""

import os
import statistics
import sys
import time

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

import numpy  # noqa: E402
import ray  # noqa: E402

PAYLOAD = b"x" * 64
MIB = 1 << 20

cores = len(os.sched_getaffinity(0))
ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
         object_store_memory=4 << 30)


@ray.remote(num_cpus=0)
class Echo:
    def echo(self, payload):
        return payload

    def make(self, size):
        return numpy.ones(size, dtype=numpy.uint8)


@ray.remote
def echo_task(payload):
    return payload


@ray.remote
def call_all(actors, calls):
    ray.get([actors[i % len(actors)].echo.remote(PAYLOAD) for i in range(calls)])
    return calls


actors = []


def echo_actors(count):
    while len(actors) < count:
        actors.append(Echo.remote())
        ray.get(actors[-1].echo.remote(PAYLOAD))
    return actors[:count]


def median_us(count, work):
    samples = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        samples.append((time.perf_counter() - start) * 1e6)
    return statistics.median(samples)


def rate(count, work):
    start = time.perf_counter()
    work(count)
    return count / (time.perf_counter() - start)


def asleep(scale):
    samples = []
    for _ in range(scale(100)):
        time.sleep(0.0003)
        start = time.perf_counter()
        ray.get(actors[0].echo.remote(PAYLOAD))
        samples.append((time.perf_counter() - start) * 1e6)
    return statistics.median(samples)


def many_to_many(scale):
    calls = scale(2000)
    pair = echo_actors(2)
    start = time.perf_counter()
    made = sum(ray.get([call_all.remote(pair, calls) for _ in range(2)]))
    return made / (time.perf_counter() - start)


def create(scale):
    count = max(4, scale(20))
    start = time.perf_counter()
    made = [Echo.remote() for _ in range(count)]
    ray.get([actor.echo.remote(PAYLOAD) for actor in made])
    return count / (time.perf_counter() - start)


def get_local(scale):
    actor = echo_actors(1)[0]
    refs = [actor.make.remote(128 << 10) for _ in range(scale(200))]
    ray.wait(refs, num_returns=len(refs), fetch_local=False)
    samples = []
    for ref in refs:
        start = time.perf_counter()
        ray.get(ref)
        samples.append((time.perf_counter() - start) * 1e9)
    return statistics.median(samples)


def put_us(size, count):
    value = numpy.ones(size, dtype=numpy.uint8)
    ray.put(value)
    return median_us(count, lambda: ray.put(value))


ROWS = {
    "actor_call_sync_us": lambda n: median_us(n(500), lambda: ray.get(echo_actors(1)[0].echo.remote(PAYLOAD))),
    "actor_call_sleeping_us": lambda n: (echo_actors(1), asleep(n))[1],
    "actor_call_async_per_s": lambda n: rate(n(4000), lambda c: ray.get(call_all.remote(echo_actors(1), c))),
    "actor_call_nn_per_s": many_to_many,
    "task_sync_us": lambda n: median_us(n(500), lambda: ray.get(echo_task.remote(PAYLOAD))),
    "task_async_per_s": lambda n: rate(n(4000), lambda c: ray.get([echo_task.remote(PAYLOAD) for _ in range(c)])),
    "actor_create_per_s": create,
    "get_local_ns": get_local,
    "put_4k_us": lambda n: put_us(4096, n(500)),
    "put_1m_us": lambda n: put_us(MIB, n(100)),
    "put_1g_gbps": lambda n: (256 if n(20) == 1 else 1024) * MIB
    / put_us((256 if n(20) == 1 else 1024) * MIB, 1) / 1e3,
}


def answer(request):
    metric, effort = (request.split() + ["", ""])[:2]
    if metric == "version":
        return "ok " + ray.__version__
    if metric not in ROWS:
        return "no this side does not measure " + metric

    def scale(full):
        return full if effort == "full" else (full + 19) // 20

    try:
        return "ok %.9g" % ROWS[metric](scale)
    except Exception as error:  # The row says why.
        return "no " + " ".join(str(error).split())


for line in sys.stdin:
    print(answer(line), file=answers, flush=True)
ray.shutdown()
