// The C ABI between the MLX glue and the CPU kernels: plain structs of pointers and sizes, one table of functions per
// instruction set. No MLX type and no C++ standard library type crosses this line.
//
// Conventions. Arrays are row-major and contiguous, with no alignment promise. `tokens` counts rows of any token-wise
// array. f32 = 4-byte float, bf16 = upper half of a float, rounded to nearest even. Parameters (weights, biases, norm
// gains) are f32 unless said otherwise; norms, softmax, RoPE and losses compute in f32 whatever the activation type.
// A null pointer switches its part off. Random masks are a pure function of (seed, element index): the backward pass
// repeats the forward's mask, and the thread count never changes it. Every function opens its own OpenMP team, sets
// flush-to-zero on each of its threads and restores it. Shapes are validated by the caller: kernels never throw.
#pragma once
#include <cstddef>
#include <cstdint>

namespace bpk {

enum class DType : int32_t { f32 = 0, bf16 = 1 };
enum class Activation : int32_t { none = 0, gelu = 1, geglu = 2, swiglu = 3 };  // gelu is the erf form

// y = act(x W^T + b).  For geglu and swiglu W has 2F rows and y has F columns: y = act(first half) * second half.
struct LinearForward {
  int64_t tokens, in_features, out_features;  // out_features = rows of W (2F when gated)
  DType dtype;                                // of x, y and z
  const void* x;                              // [tokens, in_features]
  const void* weight;                         // [out_features, in_features], f32 master or bf16; null when packed is given
  DType weight_dtype;
  const void* packed;                         // made by pack_weight, or null
  const float* bias;                          // [out_features] or null
  Activation activation;
  void* y;                                    // [tokens, out_features] (gated: out_features / 2)
  void* z;                                    // [tokens, out_features] pre-activation for the backward, or null
};

struct LinearBackward {
  int64_t tokens, in_features, out_features;
  DType dtype;
  const void* x;
  const void* weight;
  DType weight_dtype;
  Activation activation;
  const void* z;     // pre-activation, null when activation is none
  const void* dy;    // like y
  void* dx;          // like x, or null
  float* dweight;    // [out_features, in_features], or null when the weight is frozen
  float* dbias;      // [out_features], or null
};

struct PackWeight {
  int64_t in_features, out_features;
  DType dtype;           // activation type the packed weight will serve
  const void* weight;
  DType weight_dtype;
  Activation activation; // gated layers may interleave the halves
  void* packed;          // packed_bytes() bytes, 64-byte aligned
};

// h = residual + dropout(x);  y = norm(h) * weight + bias.  rms = true: no mean, no bias.
struct NormForward {
  int64_t tokens, width;
  DType dtype;             // of x, residual, y, h
  const void* x;
  const void* residual;    // null: h = x
  const float* weight;
  const float* bias;       // or null
  float epsilon;
  bool rms;
  float dropout;           // probability of zero; 0 = off
  const uint32_t* seed;    // two words, or null when dropout is 0
  void* y;
  void* h;                 // null when nobody reads it (then residual must be null or h recomputed is not needed)
  float* mean;             // [tokens], null for rms or inference
  float* inverse_std;      // [tokens], null in inference
};

struct NormBackward {
  int64_t tokens, width;
  DType dtype;
  const void* h;
  const float* weight;
  const float* mean;
  const float* inverse_std;
  bool rms;
  float dropout;
  const uint32_t* seed;
  const void* dy;          // cotangent of y
  const void* dh;          // cotangent of h from the residual stream, or null
  void* dx;                // d(x): after the dropout mask; may equal dresidual when dropout is 0
  void* dresidual;         // d(residual), or null when there is no residual or it equals dx
  float* dweight;          // [width] or null
  float* dbias;            // [width] or null
};

// Padding-free attention over sequences cu_seqlens[i]..cu_seqlens[i+1]; qkv rows are q | k | v, each heads * head_size.
// Tokens behind the last sequence belong to none: their outputs and gradients are zero.
struct AttentionForward {
  int64_t sequences, tokens, heads, head_size;
  DType dtype;
  const void* qkv;             // [tokens, 3 * heads * head_size]
  const int32_t* cu_seqlens;   // [sequences + 1]
  float scale;
  int64_t half_window;         // keys with |i - j| <= half_window; negative = all
  const float* cosines;        // [positions, head_size / 2] or null for no RoPE; the row is the position in its sequence
  const float* sines;
  bool interleaved;            // RoPE pairs (2j, 2j+1) instead of (j, j + head_size/2)
  float dropout;               // on the probabilities
  const uint32_t* seed;
  void* out;                   // [tokens, heads * head_size]
  float* log_sum_exp;          // [heads, tokens] for the backward, or null
};

struct AttentionBackward {
  AttentionForward forward;    // same inputs, out and log_sum_exp filled
  const void* dout;
  void* dqkv;
};

// y = act(first half) * second half (gated), or act(x); the unfused form, for layers the GEMM epilogue cannot serve.
// `width` is that of y: a gated x has rows of 2 * width.
struct ActivationForward { int64_t tokens, width; DType dtype; Activation activation; const void* x; void* y; };
struct ActivationBackward { int64_t tokens, width; DType dtype; Activation activation; const void* x; const void* dy; void* dx; };

struct Dropout { int64_t size; DType dtype; float probability; const uint32_t* seed; const void* x; void* y; };  // backward = forward on dy

struct Add { int64_t size; DType dtype; const void* a; const void* b; void* y; };

// An id outside [0, rows) reads as a row of zeros and receives no gradient.
struct EmbeddingForward { int64_t tokens, width, rows; DType dtype; const void* table; DType table_dtype; const int32_t* ids; void* y; };
struct EmbeddingBackward { int64_t tokens, width, rows; DType dtype; const int32_t* ids; const void* dy; float* dtable; };  // dtable is zeroed inside

// y[t] = the first ramps of its number, summed, and a part of the next: ramp k of K rises from 0 to 1 as the value goes from
// k / K to (k + 1) / K. Zeros without a value (NaN), for tokens that are no number, and behind the last sequence.
struct NumericEmbedding {
  int64_t sequences, tokens, width, numbers, ramps;
  DType dtype;
  const int32_t* ids;              // [tokens], each within number_of_token
  const int32_t* cu_seqlens;
  const int32_t* number_of_token;  // `numbers` and more: none
  const float* values;             // [sequences, numbers]
  const float* weight;             // [numbers, ramps, width]
  void* y;
};

// y[s] = the sum of the rows of x in sequence s, in f32; a row behind the last sequence belongs to none.
struct SequenceSumForward { int64_t sequences, tokens, width; DType dtype; const void* x; const int32_t* cu_seqlens; float* y; };
struct SequenceSumBackward { int64_t sequences, tokens, width; DType dtype; const int32_t* cu_seqlens; const float* dy; void* dx; };

// loss[i] = logsumexp(logits[i]) - logits[i, label[i]] (0 where label < 0); dlogits = (softmax - onehot) * dloss[i]
struct CrossEntropyForward { int64_t tokens, classes; DType dtype; const void* logits; const int32_t* labels; float* loss; float* log_sum_exp; };
struct CrossEntropyBackward { int64_t tokens, classes; DType dtype; const void* logits; const int32_t* labels; const float* log_sum_exp; const float* dloss; void* dlogits; };

// Decoupled weight decay (Loshchilov and Hutter 2019) with bias correction; scalars are arrays so that one compiled graph serves all steps.
struct AdamWArray {
  int64_t size;
  const float* parameter; const float* gradient; const float* m; const float* v;
  float weight_decay;
  float* parameter_out; float* m_out; float* v_out;                            // may be the inputs themselves
};
struct AdamW {
  int64_t count;
  const AdamWArray* arrays;
  const float* learning_rate; const float* step; const float* gradient_scale;  // one value each; step counts from 1
  float beta1, beta2, epsilon;
};

struct SquareSumArray { int64_t size; DType dtype; const void* x; };
struct SquareSum { int64_t count; const SquareSumArray* arrays; float* out; };  // over all arrays; f64 inside, fixed order

// y = x dequantize(W)^T + b with MLX's affine layout: bits in {4, 8}, groups along in_features.
struct QuantizedLinear {
  int64_t tokens, in_features, out_features;
  DType dtype;
  const void* x;
  const uint32_t* weight; const void* scales; const void* biases; DType scale_dtype;
  int32_t group_size, bits;
  const float* bias;
  void* y;
};
struct QuantizedLinearBackward { QuantizedLinear forward; const void* dy; void* dx; };

// Inference with int8 weights (per-row scale) and activations quantised per token as they arrive.
struct Int8Linear {
  int64_t tokens, in_features, out_features;
  DType dtype;
  const void* x;
  const void* packed;          // made by pack_int8
  const float* bias;
  Activation activation;
  void* y;
};
struct PackInt8 { int64_t in_features, out_features; const float* weight; Activation activation; void* packed; };

// call(context) calls kernels one after the other, which share one team of threads instead of waking one each.
struct SharedKernels {
  int64_t cost;  // of all together, in elements visited once; a multiplication is a thirty-second of one
  void (*call)(const void* context);
  const void* context;
};

struct Kernels {
  const char* name;   // "avx2", "avx512", "avx512_bf16", "amx"
  bool fast_bf16;     // bf16 is worth choosing on this machine
  size_t (*packed_bytes)(int64_t in_features, int64_t out_features, DType dtype, Activation activation);
  void (*pack_weight)(const PackWeight&);
  void (*linear_forward)(const LinearForward&);
  void (*linear_backward)(const LinearBackward&);
  size_t (*packed_int8_bytes)(int64_t in_features, int64_t out_features);
  void (*pack_int8)(const PackInt8&);
  void (*int8_linear)(const Int8Linear&);
  void (*quantized_linear)(const QuantizedLinear&);
  void (*quantized_linear_backward)(const QuantizedLinearBackward&);
  void (*norm_forward)(const NormForward&);
  void (*norm_backward)(const NormBackward&);
  void (*attention_forward)(const AttentionForward&);
  void (*attention_backward)(const AttentionBackward&);
  void (*activation_forward)(const ActivationForward&);
  void (*activation_backward)(const ActivationBackward&);
  void (*dropout)(const Dropout&);
  void (*add)(const Add&);
  void (*embedding_forward)(const EmbeddingForward&);
  void (*embedding_backward)(const EmbeddingBackward&);
  void (*numeric_embedding)(const NumericEmbedding&);
  void (*sequence_sum_forward)(const SequenceSumForward&);
  void (*sequence_sum_backward)(const SequenceSumBackward&);
  void (*cross_entropy_forward)(const CrossEntropyForward&);
  void (*cross_entropy_backward)(const CrossEntropyBackward&);
  void (*adamw)(const AdamW&);
  void (*square_sum)(const SquareSum&);
  void (*share_team)(const SharedKernels&);
};

// The best table that this CPU and system allow and that was compiled; null without AVX2.
// BERT_KERNELS_ISA=avx2|avx512|avx512_bf16|amx masks it downwards.
const Kernels* select_kernels();

// The instruction set that would be chosen if all were compiled: "none" without AVX2.
const char* wanted_kernels();
bool has_kernels(const char* isa);

}  // namespace bpk
