// The body of every instruction-set unit: all kernels, compiled with the flags of the unit that includes this, in one table.
// The includer defines BPK_ISA (namespace), BPK_TABLE (the exported name) and BPK_FAST_BF16.
#include "adamw.h"
#include "attention.h"
#include "cross_entropy.h"
#include "elementwise.h"
#include "embedding.h"
#include "int8.h"
#include "kernels.h"
#include "linear.h"
#include "linear_backward.h"
#include "norm.h"
#include "numeric_embedding.h"
#include "pooling.h"
#include "quantized.h"

#define BPK_STRING_(x) #x
#define BPK_STRING(x) BPK_STRING_(x)

namespace bpk {

extern const Kernels BPK_TABLE;  // const would otherwise be internal

const Kernels BPK_TABLE = {
    .name = BPK_STRING(BPK_ISA),
    .fast_bf16 = BPK_FAST_BF16,
    .packed_bytes = BPK_ISA::packed_bytes,
    .pack_weight = BPK_ISA::pack_weight,
    .linear_forward = BPK_ISA::linear_forward,
    .linear_backward = BPK_ISA::linear_backward,
    .packed_int8_bytes = BPK_ISA::packed_int8_bytes,
    .pack_int8 = BPK_ISA::pack_int8,
    .int8_linear = BPK_ISA::int8_linear,
    .quantized_linear = BPK_ISA::quantized_linear,
    .quantized_linear_backward = BPK_ISA::quantized_linear_backward,
    .norm_forward = BPK_ISA::norm_forward,
    .norm_backward = BPK_ISA::norm_backward,
    .attention_forward = BPK_ISA::attention_forward,
    .attention_backward = BPK_ISA::attention_backward,
    .activation_forward = BPK_ISA::activation_forward,
    .activation_backward = BPK_ISA::activation_backward,
    .dropout = BPK_ISA::dropout,
    .add = BPK_ISA::add,
    .embedding_forward = BPK_ISA::embedding_forward,
    .embedding_backward = BPK_ISA::embedding_backward,
    .numeric_embedding = BPK_ISA::numeric_embedding,
    .sequence_sum_forward = BPK_ISA::sequence_sum_forward,
    .sequence_sum_backward = BPK_ISA::sequence_sum_backward,
    .cross_entropy_forward = BPK_ISA::cross_entropy_forward,
    .cross_entropy_backward = BPK_ISA::cross_entropy_backward,
    .adamw = BPK_ISA::adamw,
    .square_sum = BPK_ISA::square_sum,
    .share_team = BPK_ISA::share_team_of,
};

}  // namespace bpk
