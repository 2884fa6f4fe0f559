// bert_embeddings: norm(word + added + token type + position) in one operation, for inference; see encoder_layer.cpp.
#include <algorithm>
#include <array>

#include "glue/ops.h"

namespace bpk::glue {
namespace {

struct EmbeddingsOptions {
  bool has_bias, has_types, has_added;
  float epsilon;
  bool operator==(const EmbeddingsOptions&) const = default;
};

// A table of vectors, and which of them each token takes.
struct Table {
  const void* rows;
  DType dtype;
  int64_t size;
  const int32_t* ids;  // null: known when the operation runs
};

struct EmbeddingsCall {
  Table words, types, positions;
  const void* added;  // or null
  const int32_t* cu_seqlens;
  int64_t tokens, width, sequences;
  DType dtype;
  NormForward norm;  // of the sum

  void operator()() const {
    check_sequences(cu_seqlens, sequences, tokens);
    Workspace memory;
    const size_t bytes = size_t(tokens) * width * (dtype == DType::bf16 ? 2 : 4);
    void *sum = memory.take(bytes), *part = memory.take(bytes);
    int32_t* ids = static_cast<int32_t*>(memory.take(size_t(tokens) * sizeof(int32_t)));
    look_up(words, words.ids, sum);
    if (added) add(sum, added);
    if (!types.ids) std::fill_n(ids, tokens, 0);
    look_up(types, types.ids ? types.ids : ids, part);
    add(sum, part);
    count_positions(ids);
    look_up(positions, ids, part);
    NormForward call = norm;
    call.x = part;
    call.residual = sum;
    kernels().norm_forward(call);
  }

 private:
  void look_up(const Table& table, const int32_t* ids, void* y) const {
    check_ids(ids, tokens, table.size);
    kernels().embedding_forward({tokens, width, table.size, dtype, table.rows, table.dtype, ids, y});
  }

  void add(void* sum, const void* part) const { kernels().add({tokens * width, dtype, sum, part, sum}); }

  // From the start of each sequence, and of what stands behind the last one.
  void count_positions(int32_t* ids) const {
    for (int64_t s = 0; s <= sequences; ++s) {
      const int64_t end = s < sequences ? cu_seqlens[s + 1] : tokens;
      for (int64_t token = cu_seqlens[s]; token < end; ++token) ids[token] = int32_t(token - cu_seqlens[s]);
    }
  }
};

class BertEmbeddings : public CpuPrimitive {
 public:
  BertEmbeddings(mx::Stream stream, EmbeddingsOptions options) : CpuPrimitive(stream), options_(options) {}

  const char* name() const override { return "BertEmbeddings"; }

  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const BertEmbeddings&>(other).options_;
  }

  // inputs: ids, cu_seqlens, words, token types, positions, norm, then as present: bias, ids of the types, added
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    const auto ids_of = [&](const mx::array& ids) { return static_cast<const int32_t*>(launch.read(ids)); };
    const auto table_of = [&](const mx::array& rows, const int32_t* ids) {
      return Table{launch.read(rows), dtype_of(rows), rows.shape(0), ids};
    };
    size_t next = 6;
    EmbeddingsCall call{};
    call.tokens = outputs[0].shape(0);
    call.width = outputs[0].shape(1);
    call.dtype = dtype_of(outputs[0]);
    call.cu_seqlens = ids_of(inputs[1]);
    call.sequences = static_cast<int64_t>(inputs[1].size()) - 1;
    call.norm.tokens = call.tokens;
    call.norm.width = call.width;
    call.norm.dtype = call.dtype;
    call.norm.weight = launch.read_floats(inputs[5]);
    if (options_.has_bias) call.norm.bias = launch.read_floats(inputs[next++]);
    call.norm.epsilon = options_.epsilon;
    call.norm.y = launch.write(outputs[0]);
    call.words = table_of(inputs[2], ids_of(inputs[0]));
    call.types = table_of(inputs[3], options_.has_types ? ids_of(inputs[next++]) : nullptr);
    call.positions = table_of(inputs[4], nullptr);
    if (options_.has_added) call.added = launch.read(inputs[next]);
    launch.run(call);
  }

 private:
  EmbeddingsOptions options_;
};

}  // namespace

MaybeArray bert_embeddings(const mx::array& ids, const mx::array& cu_seqlens, const std::vector<mx::array>& tables,
                           const NormWeights& norm, float epsilon, mx::Dtype dtype, const MaybeArray& type_ids,
                           const MaybeArray& added) {
  require(tables.size() == 3, "tables are words, token types and positions");
  require(dtype == mx::float32 || dtype == mx::bfloat16, "dtype must be float32 or bfloat16");
  require_sequences(cu_seqlens);
  require(ids.ndim() == 1, "ids is " + describe(ids) + ", expected [tokens]");
  Arrays inputs{as_int32(ids), cu_seqlens};
  for (const auto& table : tables) {
    require_activations(table, "table");
    require(table.ndim() == 2 && table.shape(1) == tables[0].shape(1),
            "table is " + describe(table) + ", expected [rows, width of the words]");
    inputs.push_back(table);
  }
  const int tokens = ids.shape(0), width = tables[0].shape(1);
  require_shape(norm.first, {width}, "norm");
  inputs.push_back(as_float32(norm.first));
  if (norm.second) {
    require_shape(*norm.second, {width}, "bias");
    inputs.push_back(as_float32(*norm.second));
  }
  if (type_ids) {
    require_shape(*type_ids, {tokens}, "type_ids");
    inputs.push_back(as_int32(*type_ids));
  }
  if (added) {
    require_shape(*added, {tokens, width}, "added");
    inputs.push_back(mx::astype(*added, dtype, cpu_stream()));
  }
  if (is_traced(inputs)) return std::nullopt;
  const EmbeddingsOptions options{norm.second.has_value(), type_ids.has_value(), added.has_value(), epsilon};
  return mx::array({tokens, width}, dtype, std::make_shared<BertEmbeddings>(cpu_stream(), options), std::move(inputs));
}

}  // namespace bpk::glue
