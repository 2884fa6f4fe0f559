// Attention forward: blocks of keys against strips of queries with an online softmax (Milakov and Gimelshein 2018, Dao et
// al. 2022). Nothing of size tokens x tokens exists; a window skips the blocks outside it.
//
// Scores are kept in units of log2. The reference that is subtracted before the exponential is raised only when a score
// exceeds it by 2^8: the sums stay far from overflow, and rescaling them becomes rare.
#pragma once
#include "attention_tasks.h"
#include "math.h"

namespace bpk::BPK_ISA {

template <class T, class Engine>
class ForwardWorker {
  using Element = typename Engine::Element;
  static constexpr int64_t strip = Engine::forward_strip, key_block = Engine::key_block;
  static constexpr float kHeadroom = 8;

 public:
  ForwardWorker(const AttentionForward& args, int64_t chunk, int64_t longest)
      : args_(args),
        chunk_(chunk),
        width_(round_up(args.head_size, Engine::width_step)),
        to_log2_(args.scale * kLog2E),
        mask_(args.dropout),
        memory_(place_in_scratch<Memory>(0, round_up(chunk, Engine::token_step), round_up(longest, key_block), width_)) {}

  void run(const AttentionTask& task) {
    const Head<T> head(args_, task.sequence, task.head);
    const int64_t first = task.first;
    const bool is_last = head.index + 1 == args_.heads;
    next_head_ = is_last ? head.query + head.tokens * head.stride - head.index * head.width : head.query + head.width;
    if (task.sequence != packed_.sequence || task.head != packed_.head) packed_ = {task.sequence, task.head, 0};
    const Range queries = {first, min_of(first + chunk_, head.tokens)};
    const int64_t count = queries.end - first, padded = round_up(count, Engine::token_step);
    gather_rows(head.query, head.stride, first, count, padded, head.width, width_, rotation_of(args_), memory_.queries);
    T* const out = static_cast<T*>(args_.out) + (head.start + first) * head.embedding + head.index * head.width;
    for (int64_t i = 0; i < padded; ++i) memory_.reference[i] = -__builtin_inff();
    std::memset(memory_.sums, 0, size_t(padded * VecF::lanes) * sizeof(float));
    std::memset(memory_.out, 0, size_t(padded * width_) * sizeof(float));

    // Blocks start at multiples of their size, so that no sum depends on how queries were cut into tasks.
    const Range keys = head.visible(queries, args_.half_window);
    const int64_t begin = keys.begin / key_block * key_block;
    for (int64_t k = begin; k < keys.end; k += key_block) {
      const Range block = {k, min_of(k + key_block, head.tokens)};
      load_block(head, block);
      add_block(head, block, queries, k == begin ? out : nullptr);
    }
    epilogue(head, first, count, out);
  }

 private:
  struct Memory {
    Element *queries, *rows, *across, *along, *probabilities;
    float *scores, *out, *reference, *sums;
    void place(Arena& arena, int64_t queries_padded, int64_t keys_padded, int64_t width) {
      queries = arena.take<Element>(queries_padded * width);
      rows = arena.take<Element>(key_block * width);
      across = arena.take<Element>(keys_padded * width);
      along = arena.take<Element>(keys_padded * width);
      probabilities = arena.take<Element>(2 * strip * key_block);
      scores = arena.take<float>(2 * strip * key_block);
      out = arena.take<float>(queries_padded * width);
      reference = arena.take<float>(queries_padded);
      sums = arena.take<float>(queries_padded * VecF::lanes);
    }
  };

  // Packs a block of keys and values, unless an earlier chunk of the same head has left it here.
  void load_block(const Head<T>& head, Range block) {
    const int64_t count = block.end - block.begin, padded = round_up(count, Engine::token_step);
    Element* const across = memory_.across + block.begin * width_;
    Element* const along = memory_.along + block.begin * width_;
    keys_ = Engine::across(across, padded, width_);
    values_ = Engine::along(along, width_);
    if (block.begin < packed_.end) return;
    gather_rows(head.key, head.stride, block.begin, count, padded, head.width, width_, rotation_of(args_), memory_.rows);
    Engine::pack_across(memory_.rows, padded, width_, across);
    Element* const value_rows = Engine::packs_along ? memory_.rows : along;
    gather_rows(head.value, head.stride, block.begin, count, padded, head.width, width_, kNoRotation, value_rows);
    Engine::pack_along(value_rows, padded, width_, along);
    if (block.begin == packed_.end) packed_.end = block.begin + key_block;
  }

  // A strip of queries and the columns of the key block it sees.
  struct Strip {
    Range queries;
    int64_t row;             // of the first query, within the chunk
    int64_t begin, columns;  // within the block; no columns: nothing to do
    int64_t depth;           // the columns that values are summed over, less padding
    float* scores;
    Element* probabilities;
  };

  Strip strip_at(const Head<T>& head, Range block, Range queries, int64_t row) const {
    const int64_t parity = row / strip % 2, first = queries.begin + row;
    Strip s = {{first, min_of(first + strip, queries.end)}, row, 0, 0, 0, memory_.scores + parity * strip * key_block,
               memory_.probabilities + parity * strip * key_block};
    if (first >= queries.end) return s;
    const Range seen = head.visible(s.queries, args_.half_window);
    const int64_t begin = max_of(seen.begin, block.begin) - block.begin, end = min_of(seen.end, block.end) - block.begin;
    if (begin >= end) return s;
    s.begin = begin / Engine::token_step * Engine::token_step;
    s.columns = round_up(end, Engine::token_step) - s.begin;
    s.depth = round_up(end - s.begin, Engine::depth_step);
    return s;
  }

  using Scores = typename Engine::template Product<false>;
  using Values = typename Engine::template Product<true>;
  Scores scores_of(const Strip& s) const {
    const Element* queries = memory_.queries + s.row * width_;
    return {s.queries.end - s.queries.begin, width_, queries, width_, keys_.columns(s.begin), s.columns, s.scores, key_block};
  }
  Values values_of(const Strip& s) const {
    const int64_t width = s.columns ? width_ : 0;  // of a strip without columns there is nothing to do
    return {s.queries.end - s.queries.begin, s.depth, s.probabilities, key_block, values_.depth(s.begin), width,
            memory_.out + s.row * width_, width_};
  }

  // The products of the neighbouring strips are taken in small steps between the rows of softmax: the matrix unit then works
  // beside the vector units, and nothing waits for what was stored just before. With `out`, memory needed later is asked for.
  void add_block(const Head<T>& head, Range block, Range queries, const T* out) {
    Strip current = strip_at(head, block, queries, 0);
    scores_of(current).complete();
    Values values = values_of({});
    for (int64_t row = 0; row < queries.end - queries.begin; row += strip) {
      const Strip next = strip_at(head, block, queries, row + strip);
      Scores scores = scores_of(next);
      if (current.columns) softmax_strip(head, block, current, [&](int64_t r) BPK_INLINE_LAMBDA {
        if (out) prefetch_for_row(head, current.queries.begin + r, out + (current.row + r) * head.embedding);
        if (r % 8 == 3) scores.step();
        if (r % 8 == 7) values.step();
      });
      scores.complete();
      values.complete();
      values = values_of(current);
      current = next;
    }
    values.complete();
  }

  // Asks for one row of the output and for the same row of the next head. Rows are far apart in memory, beyond what the
  // hardware prefetches; asking for all of them at once would stop everything.
  BPK_INLINE void prefetch_for_row(const Head<T>& head, int64_t row, const T* out) const {
    constexpr int64_t line = 64 / int64_t(sizeof(T));
    const T* query = next_head_ + row * head.stride;
    for (int64_t i = 0; i < head.width; i += line) {
      asm volatile("prefetchw %0" ::"m"(out[i]));
      for (int part = 0; part < 3; ++part)
        _mm_prefetch(reinterpret_cast<const char*>(query + part * head.embedding + i), _MM_HINT_T1);
    }
  }

  // Whether every query of the strip sees every column, with neither padding nor dropout: the common case, and the fast one.
  bool sees_all(Range block, const Strip& s) const {
    const int64_t begin = block.begin + s.begin, end = begin + s.columns, window = args_.half_window;
    if (args_.dropout > 0 || end > block.end) return false;
    return window < 0 || (s.queries.end - 1 - window <= begin && end <= s.queries.begin + window + 1);
  }

  template <class Between>
  BPK_INLINE void softmax_strip(const Head<T>& head, Range block, const Strip& s, const Between& between) {
    const int64_t origin = block.begin + s.begin, rows = s.queries.end - s.queries.begin;
    if (sees_all(block, s)) {
      for (int64_t r = 0; r < rows; ++r) {
        softmax_row<true>(s.row + r, s.scores + r * key_block, s.probabilities + r * key_block, s.columns, {}, origin, {});
        between(r);
      }
      return;
    }
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t query = s.queries.begin + r;
      const Range seen = head.visible({query, query + 1}, args_.half_window);
      const Range inside_block = {max_of<int64_t>(0, seen.begin - origin), min_of(block.end, seen.end) - origin};
      Element* probabilities = s.probabilities + r * key_block;
      if (inside_block.empty()) {
        std::memset(static_cast<void*>(probabilities), 0, size_t(s.columns) * sizeof(Element));
      } else {
        const RandomKeys random = args_.dropout > 0 ? attention_keys(args_, head.index, head.start + query) : RandomKeys{};
        softmax_row<false>(s.row + r, s.scores + r * key_block, probabilities, s.columns, inside_block, origin, random);
      }
      between(r);
    }
  }

  // Scores of one query become unnormalised probabilities; those outside `row` become zero.
  template <bool plain>
  BPK_INLINE void softmax_row(int64_t r, const float* scores, Element* probabilities, int64_t columns, Range row,
                              int64_t origin, RandomKeys random) {
    if (memory_.reference[r] == -__builtin_inff()) memory_.reference[r] = highest_score<plain>(scores, columns, row);
    RowSums sums = exponentiate_row<plain>(r, scores, probabilities, columns, row, origin, random);
    if (any(less(set(kHeadroom), sums.highest))) {
      // As in highest_score: not above what is there.
      const float highest = reduce_max(sums.highest), top = memory_.reference[r] + highest;
      if (top - memory_.reference[r] <= highest + 1) raise_reference(r, top);
      sums = repeat_row<plain>(r, scores, probabilities, columns, row, origin, random);
    }
    float* total = memory_.sums + r * VecF::lanes;
    store(total, load(total) + sums.probability);
  }

  // Lanes of `row` from v, others minus infinity.
  BPK_INLINE static VecF inside(VecF v, int64_t c, Range row) {
    if (c >= row.begin && c + VecF::lanes <= row.end) return v;
    return select(lane_range(row.begin - c, row.end - c), v, set(-__builtin_inff()));
  }

  template <bool plain>
  BPK_INLINE float highest_score(const float* scores, int64_t columns, Range row) const {
    VecF highest = set(-__builtin_inff());
    for (int64_t c = 0; c < columns; c += VecF::lanes)
      highest = max(plain ? load(scores + c) : inside(load(scores + c), c, row), highest);
    const float top = reduce_max(highest) * to_log2_;  // a NaN is left to the sum
    // Of scores of 10^9 and more the product may round to far above the highest, and nothing would be left of the row.
    return __builtin_fabsf(top) > 0x1p20f ? top - __builtin_fabsf(top) * 0x1p-23f : top;
  }

  struct RowSums {
    VecF probability;  // to be added up over lanes
    VecF highest;      // of scores above the reference
  };

  // A plain row is seen as a whole, and has no dropout.
  template <bool plain, bool bounded = false>
  BPK_INLINE RowSums exponentiate_row(int64_t r, const float* scores, Element* probabilities, int64_t columns, Range row,
                                      int64_t origin, RandomKeys random) const {
    constexpr int lanes = VecF::lanes;
    const VecF to_log2 = set(to_log2_), reference = set(memory_.reference[r]);
    RowSums sums = {zero(), set(-__builtin_inff())};
    const auto one = [&](int64_t c) BPK_INLINE_LAMBDA {
      VecF score = fms(load(scores + c), to_log2, reference);
      if constexpr (!plain) score = inside(score, c, row);
      sums.highest = max(score, sums.highest);
      // Nothing is above the raised reference but what rounding of scores of 10^9 and more leaves there.
      if constexpr (bounded) score = min(score, set(kHeadroom));
      const VecF p = exp2_softmax<T>(score);
      sums.probability = sums.probability + p;
      if constexpr (!plain) {
        if (args_.dropout > 0) return mask_.apply(p, uint32_t(origin + c), random);
      }
      return p;
    };
    int64_t c = 0;
    for (; c + 2 * lanes <= columns; c += 2 * lanes) {
      const VecF first = one(c), second = one(c + lanes);
      Engine::store_run(probabilities + c, first, second);
    }
    if (c < columns) store(probabilities + c, one(c));
    return sums;
  }

  // Rare, so kept out of the way.
  template <bool plain>
  __attribute__((noinline)) RowSums repeat_row(int64_t r, const float* scores, Element* probabilities, int64_t columns,
                                               Range row, int64_t origin, RandomKeys random) const {
    return exponentiate_row<plain, true>(r, scores, probabilities, columns, row, origin, random);
  }

  void raise_reference(int64_t r, float top) {
    const VecF factor = set(__builtin_exp2f(memory_.reference[r] - top));
    memory_.reference[r] = top;
    float* total = memory_.sums + r * VecF::lanes;
    store(total, load(total) * factor);
    float* out = memory_.out + r * width_;
    for (int64_t i = 0; i < width_; i += VecF::lanes) store(out + i, load(out + i) * factor);
  }

  void epilogue(const Head<T>& head, int64_t first, int64_t count, T* out) {
    for (int64_t r = 0; r < count; ++r) {
      const float sum = reduce_add(load(memory_.sums + r * VecF::lanes));
      move_row<false>(memory_.out + r * width_, out + r * head.embedding, head.width, kNoRotation, 0, 1.0f / sum);
      if (!args_.log_sum_exp) continue;
      const float log_sum = memory_.reference[r] * kLn2 + __builtin_logf(sum);
      args_.log_sum_exp[head.index * args_.tokens + head.start + first + r] = log_sum;
    }
  }

  const AttentionForward& args_;
  const int64_t chunk_, width_;
  const float to_log2_;
  const DropoutMask mask_;
  const Memory memory_;
  typename Engine::Operand keys_, values_;
  const T* next_head_ = nullptr;
  struct {
    int64_t sequence, head;
    int64_t end;  // blocks before this key are packed
  } packed_ = {-1, -1, 0};
};

template <class T, class Engine>
inline void attention_forward_with(const AttentionForward& args) {
  const int64_t longest = longest_sequence(args);
  if (longest == 0) return;
  // Large chunks load the keys less often, small ones keep all threads busy. The result is the same.
  int64_t chunk = min_of<int64_t>(longest, 960);
  while (chunk > 120 && args.heads * args.tokens / chunk < 4 * omp_get_max_threads()) chunk /= 2;
  const AttentionTasks tasks = cut_tasks(args, chunk);
  TaskCounter counter;
  parallel_team(tasks.cost, [&](int, int) {
    Engine::begin_thread();
    ForwardWorker<T, Engine> worker(args, chunk, longest);
    team_tasks(counter, tasks.count, tasks.batch, [&](int64_t i) { worker.run(tasks.list[i]); });
    Engine::end_thread();
  });
}

}  // namespace bpk::BPK_ISA
