// Attention backward: probabilities are recomputed block by block from the log-sum-exp, so memory is linear in tokens.
//
// Blocks are held transposed, a row per key and a column per query: then what belongs to a query (log-sum-exp, delta) is a
// plain vector, and no reduction along a row is needed.
//   p = exp(k q^T scale - lse);  dv += p do;  ds = p (v do^T - delta);  dk += ds q scale;  dq += ds^T k scale
// with delta[query] = sum(do * out). Dropout multiplies p in dv and v do^T in ds by the forward's mask.
#pragma once
#include <initializer_list>

#include "attention_tasks.h"
#include "math.h"

namespace bpk::BPK_ISA {

template <class T, class Engine>
class BackwardWorker {
  using Element = typename Engine::Element;
  using Operand = typename Engine::Operand;
  using QueryGradient = typename Engine::QueryGradient;
  static constexpr int64_t strip = Engine::strip, key_block = Engine::backward_key_block, query_block = Engine::query_block;
  static constexpr int64_t step = Engine::token_step;

 public:
  BackwardWorker(const AttentionBackward& args, int64_t longest)
      : args_(args.forward),
        dout_(static_cast<const T*>(args.dout)),
        dqkv_(static_cast<T*>(args.dqkv)),
        width_(round_up(args_.head_size, Engine::width_step)),
        to_log2_(args_.scale * kLog2E),
        mask_(args_.dropout),
        memory_(place_in_scratch<Memory>(0, round_up(longest, step), width_)) {}

  void run(int64_t sequence, int64_t head_index) {
    const Head<T> head(args_, sequence, head_index);
    if (head.tokens == 0) return;
    load_queries(head);
    const int64_t padded = round_up(head.tokens, step);
    std::memset(memory_.dquery, 0, size_t(padded * width_) * sizeof(float));
    QueryGradient dquery(memory_.dquery, padded, width_);
    for (int64_t k = 0; k < head.tokens; k += key_block)
      add_key_block(head, {k, min_of(k + key_block, head.tokens)}, dquery);

    T* out = dqkv_ + (head.query - static_cast<const T*>(args_.qkv));
    for (int64_t q = 0; q < head.tokens; q += step)
      scatter_rows(dquery.rows(q, memory_.staging), width_, q, min_of(step, head.tokens - q), head.width,
                   rotation_of(args_), args_.scale, out, head.stride);
  }

 private:
  struct Memory {
    Element *query_rows, *dout_rows, *query_across, *dout_across, *query_along, *dout_along;
    Element *key_rows, *value_rows, *keys, *probabilities, *score_gradients, *block_gradients;
    float *scores, *dprobabilities, *dkey, *dvalue, *dquery, *staging, *log_sum_exp, *delta;
    uint32_t *random_first, *random_second;
    void place(Arena& arena, int64_t tokens, int64_t width) {
      const int64_t size = tokens * width;
      for (Element** rows : {&query_rows, &dout_rows, &query_across, &dout_across}) *rows = arena.take<Element>(size);
      for (Element** rows : {&query_along, &dout_along}) *rows = arena.take<Element>(QueryGradient::along_size(size));
      for (Element** rows : {&key_rows, &value_rows}) *rows = arena.take<Element>(round_up(key_block, step) * width);
      keys = arena.take<Element>(QueryGradient::keys_size(key_block * width));
      for (Element** rows : {&probabilities, &score_gradients}) *rows = arena.take<Element>(strip * query_block);
      block_gradients = arena.take<Element>(QueryGradient::score_size);
      for (float** rows : {&scores, &dprobabilities}) *rows = arena.take<float>(strip * query_block);
      for (float** rows : {&dkey, &dvalue}) *rows = arena.take<float>(round_up(key_block, step) * width);
      dquery = arena.take<float>(tokens * width);
      staging = arena.take<float>(step * width);
      for (float** row : {&log_sum_exp, &delta}) *row = arena.take<float>(tokens);
      for (uint32_t** row : {&random_first, &random_second}) *row = arena.take<uint32_t>(tokens);
    }
  };

  void load_queries(const Head<T>& head) {
    const int64_t tokens = head.tokens, padded = round_up(tokens, step);
    const T* dout = dout_ + head.start * head.embedding + head.index * head.width;
    const T* out = static_cast<const T*>(args_.out) + head.start * head.embedding + head.index * head.width;
    gather_rows(head.query, head.stride, 0, tokens, padded, head.width, width_, rotation_of(args_), memory_.query_rows);
    gather_rows(dout, head.embedding, 0, tokens, padded, head.width, width_, kNoRotation, memory_.dout_rows);
    query_across_ = Engine::pack_across(memory_.query_rows, padded, width_, memory_.query_across);
    dout_across_ = Engine::pack_across(memory_.dout_rows, padded, width_, memory_.dout_across);
    query_along_ = Engine::pack_along(memory_.query_rows, padded, width_, memory_.query_along);
    dout_along_ = Engine::pack_along(memory_.dout_rows, padded, width_, memory_.dout_along);

    const float* log_sum_exp = args_.log_sum_exp + head.index * args_.tokens + head.start;
    for (int64_t q = 0; q < padded; ++q) {
      const bool real = q < tokens;
      memory_.log_sum_exp[q] = real ? log_sum_exp[q] * kLog2E : 0.0f;
      memory_.delta[q] = real ? dot(dout + q * head.embedding, out + q * head.embedding, head.width) : 0.0f;
      if (args_.dropout > 0) {
        const RandomKeys keys = attention_keys(args_, head.index, head.start + q);
        memory_.random_first[q] = keys.first;
        memory_.random_second[q] = keys.second;
      }
    }
  }

  static float dot(const T* a, const T* b, int64_t size) {
    VecF sum = zero();
    for_lanes(size, [&](int64_t i, int n) { sum = fma(load_some(a + i, n), load_some(b + i, n), sum); });
    return reduce_add(sum);
  }

  void add_key_block(const Head<T>& head, Range block, QueryGradient& dquery) {
    const int64_t count = block.end - block.begin, padded = round_up(count, step);
    gather_rows(head.key, head.stride, block.begin, count, padded, head.width, width_, rotation_of(args_), memory_.key_rows);
    gather_rows(head.value, head.stride, block.begin, count, padded, head.width, width_, kNoRotation, memory_.value_rows);
    T* dkey = dqkv_ + (head.key - static_cast<const T*>(args_.qkv));
    for (int64_t part = -1; part < 2; ++part)
      prefetch_for_write(dkey + block.begin * head.stride + part * head.embedding, head.stride, count, head.width);
    dquery.begin_key_block(memory_.key_rows, padded, memory_.keys);
    for (float* sums : {memory_.dkey, memory_.dvalue})
      std::memset(sums, 0, size_t(padded * width_) * sizeof(float));

    const Range seen = head.visible(block, args_.half_window);
    for (int64_t q = seen.begin / query_block * query_block; q < seen.end; q += query_block) {
      const Range queries = {q, min_of(q + query_block, head.tokens)};
      dquery.begin_query_block(memory_.block_gradients, args_.half_window >= 0);
      const int64_t rows = round_up(count, Engine::row_step);
      for (int64_t s = 0; s < rows; s += strip) add_strip(head, block, s, min_of(strip, rows - s), queries, dquery);
      dquery.complete_query_block(q, round_up(queries.end - q, step));
    }
    T* dvalue = dkey + head.embedding;
    scatter_rows(memory_.dkey, width_, block.begin, count, head.width, rotation_of(args_), args_.scale, dkey, head.stride);
    scatter_rows(memory_.dvalue, width_, block.begin, count, head.width, kNoRotation, 1.0f, dvalue, head.stride);
  }

  // Keys s..s+rows of the block against one block of queries.
  void add_strip(const Head<T>& head, Range block, int64_t s, int64_t rows, Range queries, QueryGradient& dquery) {
    const Range keys = {block.begin + s, block.begin + s + rows};
    Range seen = head.visible(keys, args_.half_window);
    seen = {max_of(seen.begin, queries.begin) - queries.begin, min_of(seen.end, queries.end) - queries.begin};
    if (seen.empty()) return;
    const int64_t begin = seen.begin / step * step, columns = round_up(seen.end, step) - begin;
    const int64_t query = queries.begin + begin;
    Engine::template product<false>(rows, width_, memory_.key_rows + s * width_, width_, query_across_.columns(query),
                                    columns, memory_.scores, query_block);
    Engine::template product<false>(rows, width_, memory_.value_rows + s * width_, width_, dout_across_.columns(query),
                                    columns, memory_.dprobabilities, query_block);
    for (int64_t r = 0; r < rows; r += 2) {
      const RowGradient first(*this, head, keys.begin + r, r, query, columns);
      const RowGradient second(*this, head, keys.begin + r + 1, r + 1, query, columns);
      for (int64_t c = 0; c < columns; c += VecF::lanes) {
        const ScorePair a = first.at(c), b = second.at(c);
        const int64_t at = r * query_block + c;
        Engine::store_pair(memory_.probabilities + at, query_block, a.probability, b.probability);
        dquery.store_pair(s + r, begin + c, memory_.score_gradients + at, query_block, a.gradient, b.gradient);
      }
    }
    const int64_t depth = round_up(seen.end - begin, Engine::depth_step);
    Engine::template product<true>(rows, depth, memory_.probabilities, query_block, dout_along_.depth(query), width_,
                                   memory_.dvalue + s * width_, width_);
    Engine::template product<true>(rows, depth, memory_.score_gradients, query_block, query_along_.depth(query), width_,
                                   memory_.dkey + s * width_, width_);
    dquery.complete_strip(s, rows, memory_.score_gradients, query_block, query, depth);
  }

  struct ScorePair {
    VecF probability, gradient;
  };

  // One key against a run of queries.
  class RowGradient {
   public:
    RowGradient(const BackwardWorker& worker, const Head<T>& head, int64_t key, int64_t row, int64_t query, int64_t columns)
        : memory_(worker.memory_),
          mask_(worker.mask_),
          drops_(worker.args_.dropout > 0),
          key_(key),
          query_(query),
          offset_(row * query_block),
          to_log2_(set(worker.to_log2_)) {
      const Range seen = head.visible({key, key + 1}, worker.args_.half_window);
      seen_ = key < head.tokens ? Range{seen.begin - query, min_of(seen.end - query, columns)} : Range{0, 0};
    }

    BPK_INLINE ScorePair at(int64_t c) const {
      const VecF score = load(memory_.scores + offset_ + c);
      VecF dprobability = load(memory_.dprobabilities + offset_ + c);
      // Probabilities: what is above 1 is rounding, which scores of 10^9 and more would make infinite.
      const VecF p = exp2_softmax<T>(min(fms(score, to_log2_, load(memory_.log_sum_exp + query_ + c)), zero()));
      VecF kept = p;
      if (drops_) {
        const VecF factor = mask_.apply(set(1), set_int(uint32_t(key_)), load_int(memory_.random_first + query_ + c),
                                        load_int(memory_.random_second + query_ + c));
        kept = p * factor;
        dprobability = dprobability * factor;
      }
      const VecF gradient = p * (dprobability - load(memory_.delta + query_ + c));
      if (c >= seen_.begin && c + VecF::lanes <= seen_.end) return {kept, gradient};
      const Mask inside = lane_range(seen_.begin - c, seen_.end - c);
      return {select(inside, kept, zero()), select(inside, gradient, zero())};
    }

   private:
    const Memory& memory_;
    const DropoutMask& mask_;
    bool drops_;
    int64_t key_, query_, offset_;
    Range seen_;
    VecF to_log2_;
  };

  const AttentionForward& args_;
  const T* dout_;
  T* dqkv_;
  const int64_t width_;
  const float to_log2_;
  const DropoutMask mask_;
  const Memory memory_;
  Operand query_across_, dout_across_, query_along_, dout_along_;
};

template <class T, class Engine>
inline void attention_backward_with(const AttentionBackward& args) {
  const AttentionForward& forward = args.forward;
  const int64_t longest = longest_sequence(forward);
  if (longest == 0) return;
  const AttentionTasks tasks = cut_tasks(forward, longest);
  TaskCounter counter;
  parallel_team(tasks.cost * 3, [&](int, int) {
    Engine::begin_thread();
    BackwardWorker<T, Engine> worker(args, longest);
    team_tasks(counter, tasks.count, tasks.batch, [&](int64_t i) {
      worker.run(tasks.list[i].sequence, tasks.list[i].head);
    });
    Engine::end_thread();
  });
}

}  // namespace bpk::BPK_ISA
