// The operations as functions on MLX arrays, the way the Python module offers them; see module.cpp for what each
// means.
#pragma once
#include <tuple>

#include "glue/launch.h"

namespace bpk::glue {

using MaybeArray = std::optional<mx::array>;
using PackedWeight = std::tuple<mx::array, int, MaybeArray>;  // from pack or pack_int8, its rows, bias
using NormWeights = std::pair<mx::array, MaybeArray>;         // gain, bias

mx::array linear(const mx::array& x, const mx::array& weight, const MaybeArray& bias, const std::string& activation);
mx::array pack(const mx::array& weight, mx::Dtype dtype, const std::string& activation);
mx::array packed_linear(const mx::array& x, const mx::array& packed, int out_features, const MaybeArray& bias,
                        const std::string& activation);

mx::array norm(const mx::array& x, const mx::array& weight, const MaybeArray& bias, float epsilon, bool rms);
std::pair<mx::array, mx::array> add_norm(const mx::array& x, const mx::array& residual, const mx::array& weight,
                                         const MaybeArray& bias, float epsilon, bool rms, float dropout,
                                         const MaybeArray& seed);

mx::array attention(const mx::array& qkv, const mx::array& cu_seqlens, int num_heads, int half_window,
                    const MaybeArray& cosines, const MaybeArray& sines, bool interleaved, float dropout,
                    const MaybeArray& seed);

mx::array activation(const mx::array& x, const std::string& name);
mx::array dropout(const mx::array& x, float probability, const mx::array& seed);
std::pair<mx::array, mx::array> fork_array(const mx::array& x);
mx::array embedding(const mx::array& table, const mx::array& ids, mx::Dtype dtype);
mx::array sequence_sum(const mx::array& x, const mx::array& cu_seqlens);
mx::array cross_entropy(const mx::array& logits, const mx::array& labels);

// The new parameters, m and v.
std::tuple<Arrays, Arrays, Arrays> adamw(const Arrays& parameters, const Arrays& gradients, const Arrays& m,
                                         const Arrays& v, const mx::array& learning_rate, const mx::array& step,
                                         const mx::array& gradient_scale, float beta1, float beta2, float epsilon,
                                         const std::vector<float>& weight_decay);
mx::array square_sum(const Arrays& arrays);

mx::array quantized_linear(const mx::array& x, const mx::array& weight, const mx::array& scales,
                           const mx::array& biases, const MaybeArray& bias, int group_size, int bits);
mx::array pack_int8(const mx::array& weight, const std::string& activation);
mx::array int8_linear(const mx::array& x, const mx::array& packed, int out_features, const MaybeArray& bias,
                      const std::string& activation);


// The update of each token, and where no norm comes after it the stream that it is to be added to.
Arrays encoder_layer(const mx::array& x, const mx::array& cu_seqlens, const std::vector<PackedWeight>& products,
                     const std::vector<std::optional<NormWeights>>& norms, const MaybeArray& residual, int num_heads,
                     int half_window, const MaybeArray& cosines, const MaybeArray& sines,
                     const std::string& activation, float epsilon, bool rms, bool is_int8);

// Nothing while gradients are traced: it has none.
MaybeArray bert_embeddings(const mx::array& ids, const mx::array& cu_seqlens, const std::vector<mx::array>& tables,
                           const NormWeights& norm, float epsilon, mx::Dtype dtype, const MaybeArray& type_ids,
                           const MaybeArray& added);
// Likewise.
MaybeArray numeric_embedding(const mx::array& ids, const mx::array& cu_seqlens, const mx::array& values,
                             const mx::array& weight, const mx::array& number_of_token, mx::Dtype dtype);

// Checks that several operations make.
void require_packed(const mx::array& packed, int in_features, int out_features, mx::Dtype dtype, Activation activation);
void require_packed_int8(const mx::array& packed, int in_features, int out_features, Activation activation);
void require_heads(int qkv_width, int num_heads);
bool require_rotary(const MaybeArray& cosines, const MaybeArray& sines, int head_size);  // whether there are any

}  // namespace bpk::glue
