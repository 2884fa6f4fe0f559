// What forward and backward attention share: where a head lies, which keys a query sees, and how the work is cut up.
#pragma once
#include "attention_rows.h"
#include "random.h"
#include "threads.h"

namespace bpk::BPK_ISA {

constexpr float kLog2E = 1.44269504f;
constexpr float kLn2 = 0.69314718f;

struct Range {
  int64_t begin, end;
  bool empty() const { return begin >= end; }
};

// One head of one sequence.
template <class T>
struct Head {
  int64_t start;     // first token of the sequence
  int64_t tokens;    // of the sequence
  int64_t index;     // of the head
  int64_t width;     // head_size
  int64_t stride;    // between rows of qkv
  int64_t embedding; // heads * head_size
  const T* query;
  const T* key;
  const T* value;

  Head(const AttentionForward& args, int64_t sequence, int64_t head)
      : start(args.cu_seqlens[sequence]),
        tokens(args.cu_seqlens[sequence + 1] - start),
        index(head),
        width(args.head_size),
        stride(3 * args.heads * args.head_size),
        embedding(args.heads * args.head_size),
        query(static_cast<const T*>(args.qkv) + start * stride + head * width),
        key(query + embedding),
        value(key + embedding) {}

  // The tokens that a run of tokens sees and is seen by: attention windows are symmetric.
  Range visible(Range run, int64_t half_window) const {
    if (half_window < 0) return {0, tokens};
    return {max_of<int64_t>(0, run.begin - half_window), min_of(tokens, run.end + half_window)};
  }
};

inline Rotation rotation_of(const AttentionForward& args) { return {args.cosines, args.sines, args.interleaved}; }

inline int64_t longest_sequence(const AttentionForward& args) {
  int64_t longest = 0;
  for (int64_t s = 0; s < args.sequences; ++s)
    longest = max_of<int64_t>(longest, args.cu_seqlens[s + 1] - args.cu_seqlens[s]);
  return longest;
}

// Random masks have one row per (head, query) and one column per key.
inline RandomKeys attention_keys(const AttentionForward& args, int64_t head, int64_t token) {
  return random_keys(args.seed, uint64_t(head * args.tokens + token));
}

// A head of a sequence, and a piece of its queries.
struct AttentionTask {
  int64_t sequence, head, first;
};

struct AttentionTasks {
  const AttentionTask* list;  // the pieces of one head lie together, and so do the heads of one sequence
  int64_t count;
  int64_t cost;   // for parallel_team
  int64_t batch;  // tasks to take at a time
};

inline AttentionTasks cut_tasks(const AttentionForward& args, int64_t chunk) {
  int64_t pieces = 0, pairs = 0;
  for (int64_t s = 0; s < args.sequences; ++s) {
    const int64_t tokens = args.cu_seqlens[s + 1] - args.cu_seqlens[s];
    pieces += (tokens + chunk - 1) / chunk;
    pairs += tokens * (args.half_window < 0 ? tokens : min_of(tokens, 2 * args.half_window + 1));
  }
  const int64_t count = pieces * args.heads, threads = omp_get_max_threads();
  auto* list = scratch<AttentionTask>(1, count);
  int64_t i = 0;
  for (int64_t s = 0; s < args.sequences; ++s)
    for (int64_t head = 0; head < args.heads; ++head)
      for (int64_t first = 0; first < args.cu_seqlens[s + 1] - args.cu_seqlens[s]; first += chunk) list[i++] = {s, head, first};
  // A thread that takes all pieces of a head packs its keys once; that must not leave other threads without work.
  const int64_t pieces_of_head = (longest_sequence(args) + chunk - 1) / chunk;
  int64_t batch = max_of<int64_t>(1, min_of(args.heads, count / (16 * threads)));
  if (count / pieces_of_head >= 3 * threads) batch = max_of(batch, pieces_of_head);
  return {list, count, pairs * args.heads * args.head_size / 8, batch};
}

}  // namespace bpk::BPK_ISA
