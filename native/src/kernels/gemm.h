// Blocked matrix product C = A B: the loops around a register kernel.
//
// B is packed into panels beforehand and shared by the team. C is cut into blocks, handed out one by one; for each, its
// rows of A are packed into the thread's own cache. The inner dimension is cut so that a panel slice stays in the L1
// cache while it meets all rows of the block. Each element of C is summed in one order whatever thread computes it.
#pragma once

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

// What a block may keep in the L2 cache: rows of A, and a run of panels with the next on its way.
constexpr int64_t cache_words = int64_t(1) << 18;

enum ScratchSlot { left_slot = 8, sums_slot, panels_slot, gradient_slot, partial_slot, transposed_slot };

inline int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Searches the cuts near the coarsest for the one that ends first. A block costs its size, and packing or fetching a row
// or a column costs about as much as multiplying with sixteen; part of a round is lost to uneven cores.
template <class Engine>
GemmBlocks choose_blocks(const GemmShape& shape, int threads) {
  constexpr int64_t edge = 16, row_unit = Engine::max_rows > 16 ? 32 : 1;
  constexpr double lost_rounds = 0.25;
  const int64_t cuts = max_of<int64_t>(1, ceil_divide(shape.steps, Engine::max_steps));
  const int64_t steps = round_up(ceil_divide(shape.steps, cuts), VecF::lanes * parts_of<typename Engine::Step>);
  // Wide blocks, for which A is packed less often, unless the partial sums of all their tiles must be kept.
  const int64_t most_panels = (cuts > 1 ? 768 : 3072) / panel_width;
  const int64_t fewest_rows = ceil_divide(shape.rows, Engine::most_rows(shape.steps));
  const int64_t fewest_panels = ceil_divide(shape.panels, most_panels);

  GemmBlocks best{};
  double best_cost = 0;
  for (int64_t i = fewest_rows; i <= min_of(fewest_rows + 15, ceil_divide(shape.rows, Engine::max_rows)); ++i) {
    for (int64_t j = fewest_panels; j <= min_of(fewest_panels + 7, shape.panels); ++j) {
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

// A finished tile whose epilogue waits to be done a few rows at a time beside the next products.
template <class Epilogue>
class PendingTile {
 public:
  explicit PendingTile(const Epilogue& epilogue) : epilogue_(epilogue) {}

  void begin(const float* tile, int64_t row0, int rows, int64_t panel) {
    tile_ = tile, row_ = row0, left_ = rows, panel_ = panel;
  }
  BPK_INLINE void advance(int rows) {
    if (left_ == 0) return;
    rows = min_of(rows, left_);
    epilogue_(tile_, row_, rows, panel_);
    tile_ += rows * panel_width, row_ += rows, left_ -= rows;
  }
  void complete() { advance(left_); }

 private:
  const Epilogue& epilogue_;
  const float* tile_ = nullptr;
  int64_t row_ = 0, panel_ = 0;
  int left_ = 0;
};

// Packs the rows of the next group beside the products of this one.
template <class Source>
class PackAhead {
 public:
  explicit PackAhead(const Source& source) : source_(source) {}

  // To be done with in `calls` calls of advance().
  void begin(uint32_t* to, int64_t row0, int rows, int padded_rows, int64_t step0, int64_t steps, int64_t calls) {
    to_ = to, row0_ = row0, rows_ = rows, padded_ = padded_rows, step0_ = step0, steps_ = steps, calls_ = calls;
    row_ = 0, due_ = 0;
  }
  BPK_INLINE void advance() {
    if (row_ == padded_) return;
    for (due_ += padded_; due_ >= calls_ && row_ < padded_; due_ -= calls_) pack_row();
  }
  void complete() {
    while (row_ < padded_) pack_row();
  }

 private:
  void pack_row() {
    source_.pack_row(to_, row0_, row_, rows_, padded_, step0_, steps_);
    ++row_;
  }

  const Source& source_;
  uint32_t* to_ = nullptr;
  int64_t row0_ = 0, step0_ = 0, steps_ = 0, calls_ = 1, due_ = 0;
  int rows_ = 0, padded_ = 0, row_ = 0;
};

// One block of C. epilogue(tile, row, rows, panel) receives each row of a completed tile once, soon after.
template <class Engine, class Source, class Epilogue>
void multiply_block(const GemmShape& shape, const GemmBlocks& blocks, int64_t row0, int64_t panel0,
                    const Source& source, const uint32_t* panels, const Epilogue& epilogue) {
  constexpr int lanes = VecF::lanes;
  const int rows = int(min_of(blocks.rows, shape.rows - row0));
  const int panel_count = int(min_of(blocks.panels, shape.panels - panel0));
  const int groups = int(ceil_divide(rows, Engine::max_rows));
  const int64_t tile_size = Engine::padded_rows(Engine::max_rows) * panel_width;
  const bool is_cut = shape.steps > blocks.steps;
  uint32_t* left = scratch<uint32_t>(left_slot, round_up(rows, Engine::max_rows) * blocks.steps);
  float* sums = scratch<float>(sums_slot, is_cut ? groups * panel_count * tile_size : 2 * tile_size);
  PendingTile<Epilogue> pending(epilogue);
  PackAhead<Source> ahead(source);
  const auto first_row = [&](int group) { return Engine::group_begin(rows, groups, group); };
  // The panels that stay in the L2 cache while the groups pass: a group then writes its rows of C in long runs.
  // A few groups would pass before the next panels have arrived.
  const int64_t left_words = rows * blocks.steps, panel_words = shape.steps * panel_width;
  const int run = is_cut || groups < 4 || !Engine::overlaps
                      ? 1
                      : int(max_of<int64_t>(1, (cache_words - left_words) / 2 / panel_words));

  for (int64_t step0 = 0; step0 < shape.steps; step0 += blocks.steps) {
    const int64_t steps = min_of(blocks.steps, shape.steps - step0);
    const bool is_last = step0 + steps == shape.steps;
    const auto left_of = [&](int group) { return left + group * Engine::padded_rows(Engine::max_rows) * steps; };
    const auto pack = [&](int group, int64_t calls) {
      const int height = first_row(group + 1) - first_row(group);
      ahead.begin(left_of(group), row0 + first_row(group), height, Engine::padded_rows(height), step0, steps, calls);
    };
    const int rows_between = int(max_of<int64_t>(4, ceil_divide(Engine::max_rows, steps / lanes)));
    // The groups share the work of prefetching the next panels: a step block of one has panel_width lines.
    const int next_lines = int(ceil_divide(panel_width, groups));
    for (int first = 0; first < panel_count; first += run) {
      const int last = min_of(first + run, panel_count);
      const uint32_t* next = panels + ((panel0 + last) * shape.steps + step0) * panel_width;
      for (int group = 0; group < groups; ++group) {
        if (first == 0 && (group == 0 || !Engine::overlaps)) pack(group, 1), ahead.complete();
        if (first == 0 && Engine::overlaps && group + 1 < groups) pack(group + 1, (last - first) * steps / lanes);
        const int height = first_row(group + 1) - first_row(group);
        for (int panel = first; panel < last; ++panel, next += next_lines * steps) {
          // Not cut: two tiles in turn, since one waits for its epilogue.
          float* tile = sums + (is_cut ? panel * groups + group : (panel + group) % 2) * tile_size;
          if (is_last && !Engine::overlaps) epilogue.prefetch(row0 + first_row(group), height, panel0 + panel);
          Engine::multiply(height, left_of(group), panels + ((panel0 + panel) * shape.steps + step0) * panel_width,
                           steps / lanes, tile, step0 > 0, {next, next_lines}, [&]() BPK_INLINE_LAMBDA {
                             pending.advance(rows_between);
                             ahead.advance();
                           });
          if (!is_last) continue;
          pending.complete();
          pending.begin(tile, row0 + first_row(group), height, panel0 + panel);
          if (!Engine::overlaps) pending.complete();
        }
        ahead.complete();
      }
    }
    pending.complete();
  }
}

// Holds the team until all have packed their share.
struct PackingGate {
  Signal arrived;
  void wait_for(int threads) {
    arrived.add(1);
    arrived.wait([&](int32_t count) { return count >= threads; });
  }
};

template <class Engine, class Source, class Epilogue>
void multiply(const GemmShape& shape, int threads, TaskCounter& counter, const Source& source, const uint32_t* panels,
              const Epilogue& epilogue) {
  if (shape.rows <= 0 || shape.panels <= 0) return;
  const GemmBlocks blocks = choose_blocks<Engine>(shape, threads);
  const typename Engine::Session session;
  (void)session;
  for (int64_t block; (block = counter.take()) < blocks.count();)
    multiply_block<Engine>(shape, blocks, block % blocks.row_blocks * blocks.rows,
                           block / blocks.row_blocks * blocks.panels, source, panels, epilogue);
  _mm_sfence();  // for epilogues that store around the caches
}

}  // namespace bpk::BPK_ISA
