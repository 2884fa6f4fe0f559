// Attention without padding: the choice of engine for the type and the instruction set.
#pragma once
#include "attention_backward.h"
#include "attention_forward.h"
#include "attention_plain.h"
#ifdef __AMX_BF16__
#include "attention_amx.h"
#endif

namespace bpk::BPK_ISA {

template <class T>
struct AttentionEngineFor {
  using type = PlainEngine;
};
#ifdef __AMX_BF16__
template <>
struct AttentionEngineFor<bf16> {
  using type = AmxEngine;
};
#endif

template <class T>
inline void clear_behind_sequences(const AttentionForward& args, void* rows, int64_t width) {
  const int64_t end = args.cu_seqlens[args.sequences];
  if (end < args.tokens) std::memset(static_cast<T*>(rows) + end * width, 0, size_t((args.tokens - end) * width) * sizeof(T));
}

inline void attention_forward(const AttentionForward& args) {
  with_type(args.dtype, [&](auto tag) {
    attention_forward_with<decltype(tag), typename AttentionEngineFor<decltype(tag)>::type>(args);
    clear_behind_sequences<decltype(tag)>(args, args.out, args.heads * args.head_size);
  });
}

inline void attention_backward(const AttentionBackward& args) {
  with_type(args.forward.dtype, [&](auto tag) {
    attention_backward_with<decltype(tag), typename AttentionEngineFor<decltype(tag)>::type>(args);
    clear_behind_sequences<decltype(tag)>(args.forward, args.dqkv, 3 * args.forward.heads * args.forward.head_size);
  });
}

}  // namespace bpk::BPK_ISA
