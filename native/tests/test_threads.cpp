// Regions of one team that is woken once: each part of the work done once, whatever its cost, and by more than one thread.
#include <omp.h>

#include <atomic>
#include <set>

#include "check.h"
#include "kernels/threads.h"

namespace {

using namespace test;
namespace kernels = bpk::BPK_ISA;

// Counts how often each element is visited, by ranges and by tasks; returns by how many threads at most.
int visit(Array<int32_t>& visits, int64_t cost) {
  std::atomic<int> most{0};
  kernels::TaskCounter counter;
  kernels::parallel_ranges(visits.size(), cost, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++visits[i];
  });
  kernels::parallel_team(cost, [&](int thread, int threads) {
    if (thread == 0) most = threads;
    if (threads > 1) kernels::team_barrier();
    kernels::team_tasks(counter, visits.size(), 3, [&](int64_t i) { ++visits[i]; });
  });
  return most;
}

void test_regions() {
  constexpr int64_t size = 1003;
  const int all = omp_get_max_threads();
  for (const int64_t cost : {int64_t(0), kernels::kSerialCost / 8, kernels::kSerialCost, int64_t(1) << 30}) {
    for (int round = 0; round < 50; ++round) {
      auto visits = Array<int32_t>(size);
      std::set<int> teams;
      kernels::share_team(int64_t(1) << 30, [&] {
        for (int region = 0; region < 4; ++region) teams.insert(visit(visits, cost));
      });
      bool right = true;
      for (int64_t i = 0; i < size; ++i) right = right && visits[i] == 8;
      expect(right, text("each element once by each of eight regions, cost", cost));
      // Small regions are one thread's; large ones wait for the others to wake.
      const std::set<int> wanted{cost >= kernels::kSerialCost ? all : 1};
      if (cost == 0 || cost >= kernels::kSerialCost) expect(teams == wanted, text("threads of a region, cost", cost));
    }
  }
}

void test_small_work_wakes_nobody() {
  auto visits = Array<int32_t>(100);
  int threads = 0;
  kernels::share_team(kernels::kSerialCost, [&] { threads = visit(visits, int64_t(1) << 30); });
  expect(threads == 1, "kernels that are small together stay in one thread");
}

void test_afterwards_regions_have_teams_of_their_own() {
  kernels::share_team(int64_t(1) << 30, [] {});
  auto visits = Array<int32_t>(100);
  expect(visit(visits, int64_t(1) << 30) == omp_get_max_threads(), "a region behind a shared team");
  expect(kernels::shared_team() == nullptr, "no team is left");
}

}  // namespace

int main() {
  test_regions();
  test_small_work_wakes_nobody();
  test_afterwards_regions_have_teams_of_their_own();
  return report("threads");
}
