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

inline void attention_forward(const AttentionForward& args) {
  with_type(args.dtype, [&](auto tag) { attention_forward_with<decltype(tag), typename AttentionEngineFor<decltype(tag)>::type>(args); });
}

inline void attention_backward(const AttentionBackward& args) {
  with_type(args.forward.dtype, [&](auto tag) { attention_backward_with<decltype(tag), typename AttentionEngineFor<decltype(tag)>::type>(args); });
}

}  // namespace bpk::BPK_ISA
