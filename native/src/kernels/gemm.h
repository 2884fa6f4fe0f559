// Blocked matrix product C = A B: the loops around a register kernel.
//
// B is packed into panels beforehand and shared by the team. C is cut into blocks, handed out one by one; for each, its
// rows of A are packed into the thread's own cache. The inner dimension is cut so that a panel slice stays in the L1
// cache while it meets all rows of the block. Each element of C is summed in one order whatever thread computes it.
#pragma once
#include <sched.h>

#include "gemm_engine.h"
#include "threads.h"

namespace bpk::BPK_ISA {

struct GemmShape {
  int64_t rows, panels, steps;  // steps are padded
};

// What a thread must keep at hand for one block; sized so that A and the partial sums share the L2 cache.
struct GemmBlocks {
  int64_t rows, panels, steps, row_blocks, panel_blocks;
  int64_t count() const { return row_blocks * panel_blocks; }
};

enum ScratchSlot { left_slot = 8, sums_slot, panels_slot, gradient_slot, partial_slot, transposed_slot };

inline int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Searches the cuts near the coarsest for the one that ends first. A block costs its size, and packing or fetching a row
// or a column costs about as much as multiplying with sixteen; part of a round is lost to uneven cores.
template <class Engine>
GemmBlocks choose_blocks(const GemmShape& shape, int threads) {
  constexpr int64_t edge = 16, row_unit = Engine::max_rows > 16 ? 32 : 1;
  constexpr double lost_rounds = 0.25;
  const int64_t cuts = larger<int64_t>(1, ceil_divide(shape.steps, Engine::max_steps));
  const int64_t steps = round_up(ceil_divide(shape.steps, cuts), VecF::lanes);
  // Wide blocks, for which A is packed less often, unless the partial sums of all their tiles must be kept.
  const int64_t most_panels = (cuts > 1 ? 768 : 3072) / panel_width;
  const int64_t fewest_rows = ceil_divide(shape.rows, Engine::most_rows(shape.steps));
  const int64_t fewest_panels = ceil_divide(shape.panels, most_panels);

  GemmBlocks best{};
  double best_cost = 0;
  for (int64_t i = fewest_rows; i <= smaller(fewest_rows + 15, ceil_divide(shape.rows, Engine::max_rows)); ++i) {
    for (int64_t j = fewest_panels; j <= smaller(fewest_panels + 7, shape.panels); ++j) {
      GemmBlocks blocks{round_up(ceil_divide(shape.rows, i), row_unit), ceil_divide(shape.panels, j), steps, 0, 0};
      blocks.row_blocks = ceil_divide(shape.rows, blocks.rows);
      blocks.panel_blocks = ceil_divide(shape.panels, blocks.panels);
      const double rounds = double(ceil_divide(blocks.count(), threads)) + (threads > 1 ? lost_rounds : 0);
      const double cost = rounds * double(blocks.rows + edge) * double(blocks.panels * panel_width + edge);
      if (best_cost == 0 || cost < best_cost) best = blocks, best_cost = cost;
    }
  }
  return best;
}

// One block of C. finish(tile, row, rows, panel) receives each completed tile once, while it is in the L1 cache.
template <class Engine, class Source, class Finish>
void multiply_block(const GemmShape& shape, const GemmBlocks& blocks, int64_t row0, int64_t panel0,
                    const Source& source, const uint32_t* panels, const Finish& finish) {
  constexpr int lanes = VecF::lanes;
  const int rows = int(smaller(blocks.rows, shape.rows - row0));
  const int panel_count = int(smaller(blocks.panels, shape.panels - panel0));
  const int groups = int(ceil_divide(rows, Engine::max_rows));
  const int64_t tile_size = Engine::padded_rows(Engine::max_rows) * panel_width;
  const bool is_cut = shape.steps > blocks.steps;
  uint32_t* left = scratch<uint32_t>(left_slot, round_up(rows, Engine::max_rows) * blocks.steps);
  float* sums = scratch<float>(sums_slot, is_cut ? groups * panel_count * tile_size : tile_size);
  const auto first_row = [&](int group) { return Engine::group_begin(rows, groups, group); };

  for (int64_t step0 = 0; step0 < shape.steps; step0 += blocks.steps) {
    const int64_t steps = smaller(blocks.steps, shape.steps - step0);
    const bool is_last = step0 + steps == shape.steps;
    const auto left_of = [&](int group) { return left + group * Engine::padded_rows(Engine::max_rows) * steps; };
    for (int group = 0; group < groups; ++group) {
      const int height = first_row(group + 1) - first_row(group);
      source.pack(left_of(group), row0 + first_row(group), height, Engine::padded_rows(height), step0, steps);
    }
    // The groups share the work of prefetching the next panel: a step block of it has panel_width lines.
    const int next_lines = int(ceil_divide(panel_width, groups));
    for (int panel = 0; panel < panel_count; ++panel) {
      const uint32_t* right = panels + ((panel0 + panel) * shape.steps + step0) * panel_width;
      for (int group = 0; group < groups; ++group) {
        const int height = first_row(group + 1) - first_row(group);
        float* tile = is_cut ? sums + (panel * groups + group) * tile_size : sums;
        if (is_last) finish.prefetch(row0 + first_row(group), height, panel0 + panel);
        Engine::multiply(height, left_of(group), right, steps / lanes, tile, step0 > 0,
                         {right + shape.steps * panel_width + group * next_lines * steps, next_lines});
        if (is_last) finish(tile, row0 + first_row(group), height, panel0 + panel);
      }
    }
  }
}

// The counter that deals out blocks; dynamic, since the cores of a shared machine are not equally fast.
struct BlockCounter {
  int64_t next = 0;
  int64_t take() { return __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED); }
};

// Holds the team until all have packed their share. That is soon, so nobody goes to sleep as at an OpenMP barrier; but a
// core that is needed by somebody else, perhaps by the thread waited for, is given up.
struct PackingGate {
  int arrived = 0;
  void wait_for(int threads) {
    __atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL);
    for (int spins = 0; __atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < threads; ++spins) {
      if (spins < 1000) _mm_pause();
      else sched_yield();
    }
  }
};

template <class Engine, class Source, class Finish>
void multiply(const GemmShape& shape, int threads, BlockCounter& counter, const Source& source, const uint32_t* panels,
              const Finish& finish) {
  if (shape.rows <= 0 || shape.panels <= 0) return;
  const GemmBlocks blocks = choose_blocks<Engine>(shape, threads);
  const typename Engine::Session session;
  (void)session;
  for (int64_t block; (block = counter.take()) < blocks.count();)
    multiply_block<Engine>(shape, blocks, block % blocks.row_blocks * blocks.rows,
                           block / blocks.row_blocks * blocks.panels, source, panels, finish);
  _mm_sfence();  // for finishes that store around the caches
}

}  // namespace bpk::BPK_ISA
