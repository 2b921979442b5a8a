// Independent tasks over threads. A task's result may not depend on the thread that runs it, nor on their number.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>

namespace parallel {

// Calls f(task, thread) for every task in [0, tasks), with thread < threads.
template <typename F>
inline void run(int tasks, int threads, F&& f) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int task = 0; task < tasks; ++task) f(task, omp_get_thread_num());
#else
  for (int task = 0; task < tasks; ++task) f(task, 0);
#endif
}

// Into how many bands to cut each of `maps` maps of `rows` rows so that every thread finds work; a band has a few rows
// at least, because each one prepares its own map.
inline int bands(int maps, int rows, int threads) {
  return maps == 0 ? 1 : std::max(1, std::min((2 * threads + maps - 1) / maps, rows / 8));
}

}  // namespace parallel
