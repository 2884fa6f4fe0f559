// What every MLX primitive of this package shares: the CPU-only base class, dense inputs, aligned outputs, shape
// checks. These glue files are the only ones that touch MLX's C++ interface, which changes in patch releases.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/mlx.h"
#include "mlx/primitives.h"

namespace bpk::glue {

namespace mx = mlx::core;
using Arrays = std::vector<mx::array>;
using Argnums = std::vector<int>;

class CpuPrimitive : public mx::Primitive {
 public:
  using mx::Primitive::Primitive;
  void eval_gpu(const Arrays&, Arrays&) override;
};

// One kernel call on the way to its stream: gives out raw pointers that stay valid until the kernel has run.
class Launch {
 public:
  explicit Launch(mx::Stream stream);

  // The input's elements in row-major order; a strided input is copied first, on the stream.
  const void* read(const mx::array& input);
  const float* read_floats(const mx::array& input) { return static_cast<const float*>(read(input)); }

  // A new buffer for the output, on a 64-byte boundary (MLX's allocator gives malloc() + 8).
  void* write(mx::array& output);

  // The input's own buffer when nobody else will read it and it is aligned; else a new one.
  void* write_over(mx::array& output, const mx::array& input);

  // 64-byte aligned memory that lives until the kernel has run.
  void* scratch(size_t bytes);

  template <class Call>
  void run(Call&& call) {
    encoder_.dispatch([call = std::forward<Call>(call), place = place_in_queue()] { call(); });
  }

 private:
  // Lets nobody encode more than a few kernels ahead of those that run: each takes memory for its outputs as it is encoded,
  // so a whole model would be alive at once, and every kernel would write to memory that no cache holds.
  // The place is given back when the kernel has run, or will never run.
  static std::shared_ptr<void> place_in_queue();

  mx::cpu::CommandEncoder& encoder_;
};

// Memory of kernels that run one after the other in one task: taken on the stream when they begin and given back when they
// end, so that the next task gets it again while caches still hold it.
class Workspace {
 public:
  void* take(size_t bytes);  // on a 64-byte boundary

 private:
  std::vector<mx::allocator::Data> buffers_;
};

const Kernels& kernels();
mx::Stream cpu_stream();

// Checks raise ValueError while the graph is built: once it runs, a wrong shape could only corrupt memory.
void require(bool condition, const std::string& message);
std::string describe(const mx::array& a);  // "float32[2, 3]"
void require_activations(const mx::array& a, const char* name);
void require_shape(const mx::array& a, const mx::Shape& shape, const char* name);
void require_seed(const std::optional<mx::array>& seed, float dropout);
void require_sequences(const mx::array& cu_seqlens);

// Values are known only on the stream, so these are called there, outside any OpenMP region; Python sees a
// RuntimeError.
void check_sequences(const int32_t* cu_seqlens, int64_t sequences, int64_t tokens);
void check_positions(const int32_t* cu_seqlens, int64_t sequences, int64_t positions);
void check_ids(const int32_t* ids, int64_t count, int64_t rows);

DType dtype_of(const mx::array& a);
Activation activation_of(const std::string& name);
inline bool is_gated(Activation a) { return a == Activation::geglu || a == Activation::swiglu; }
inline int64_t rows_of(const mx::array& a) {
  return a.shape(-1) == 0 ? 0 : static_cast<int64_t>(a.size()) / a.shape(-1);
}
mx::Shape with_last(mx::Shape shape, int last);
mx::array as_float32(const mx::array& a);
mx::array as_int32(const mx::array& ids);

// True for the zeros MLX passes as the cotangent of an output that nobody used.
bool is_zero_cotangent(const mx::array& a);

bool contains(const Argnums& argnums, int wanted);

// Whether a gradient may be asked for, so that what has none must not be used.
bool is_traced(const Arrays& inputs);

}  // namespace bpk::glue
