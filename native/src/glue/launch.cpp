#include "glue/launch.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <sstream>
#include <stdexcept>

namespace bpk::glue {
namespace {

constexpr size_t alignment = 64;

// MLX's stream threads stay behind in the parent of a fork(): the child would wait for them for ever.
std::atomic<bool> has_run{false};
std::atomic<bool> is_orphan{false};
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { is_orphan = has_run.load(); });

// Kernels that are encoded and have not ended. Whoever finds too many waits until there are few: waking up takes time.
constexpr int many_kernels = 8, few_kernels = 4;
std::atomic<int> pending_kernels{0};

size_t bytes_to_boundary(const void* p) { return -reinterpret_cast<uintptr_t>(p) & (alignment - 1); }

// Touching fresh pages costs more than most kernels; two-megabyte pages make it several times cheaper.
void ask_for_huge_pages(void* memory, size_t bytes) {
  constexpr uintptr_t huge_page = uintptr_t(1) << 21;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + huge_page - 1) & -huge_page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) & -huge_page;
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

// Batches have another number of tokens at every step. MLX reuses a freed buffer only for nearly its own size, so sizes are
// rounded up to one of eight steps between powers of two: at most an eighth is wasted, and the cache stops growing.
size_t reusable_size(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 8;
  return bytes < 4096 ? bytes : (bytes + step - 1) / step * step;
}

void allocate_aligned(mx::array& a) {
  auto data = mx::allocator::malloc(reusable_size(a.nbytes() + alignment));
  auto buffer = data.buffer();
  ask_for_huge_pages(buffer.raw_ptr(), a.nbytes());
  const int64_t offset = static_cast<int64_t>(bytes_to_boundary(buffer.raw_ptr()));
  const auto largest = std::max_element(a.shape().begin(), a.shape().end());
  mx::array::Flags flags;
  flags.contiguous = true;
  flags.row_contiguous = true;
  flags.col_contiguous = a.size() <= 1 || a.size() == static_cast<size_t>(*largest);
  a.set_data(std::move(data), a.size(), a.strides(), flags, offset);
}

// Gathers any strided view into row-major order; the innermost dimension is copied in one go when it is dense.
void gather(const char* from, char*& to, const mx::Shape& shape, const mx::Strides& strides, size_t axis,
            size_t itemsize) {
  if (axis == shape.size()) {
    std::memcpy(to, from, itemsize);
    to += itemsize;
    return;
  }
  if (axis + 1 == shape.size() && strides[axis] == 1) {
    std::memcpy(to, from, shape[axis] * itemsize);
    to += shape[axis] * itemsize;
    return;
  }
  for (int i = 0; i < shape[axis]; ++i)
    gather(from + i * strides[axis] * static_cast<int64_t>(itemsize), to, shape, strides, axis + 1, itemsize);
}

}  // namespace

void CpuPrimitive::eval_gpu(const Arrays&, Arrays&) {
  throw std::runtime_error(std::string(name()) + " runs on the CPU only; use it under mx.stream(mx.cpu)");
}

Launch::Launch(mx::Stream stream) : encoder_(mx::cpu::get_command_encoder(stream)) { has_run = true; }

std::shared_ptr<void> Launch::place_in_queue() {
  if (++pending_kernels > many_kernels)
    for (int pending; (pending = pending_kernels) > few_kernels;) pending_kernels.wait(pending);
  return {nullptr, [](void*) {
            if (--pending_kernels == few_kernels) pending_kernels.notify_all();
          }};
}

const void* Launch::read(const mx::array& input) {
  encoder_.set_input_array(input);
  if (input.flags().row_contiguous) return input.data<char>();
  mx::array dense(input.shape(), input.dtype(), nullptr, {});
  allocate_aligned(dense);
  encoder_.add_temporary(dense);
  encoder_.dispatch([from = input.data<char>(), to = dense.data<char>(), shape = input.shape(),
                     strides = input.strides(), itemsize = input.itemsize()]() {
    char* cursor = to;
    gather(from, cursor, shape, strides, 0, itemsize);
  });
  return dense.data<char>();
}

void* Launch::write(mx::array& output) {
  allocate_aligned(output);
  encoder_.set_output_array(output);
  return output.data<char>();
}

void* Launch::write_over(mx::array& output, const mx::array& input) {
  const bool same = input.nbytes() == output.nbytes() && input.flags().row_contiguous;
  if (!same || !input.is_donatable() || bytes_to_boundary(input.data<char>()) != 0) return write(output);
  output.copy_shared_buffer(input);
  encoder_.set_output_array(output);
  return output.data<char>();
}

void* Launch::scratch(size_t bytes) {
  mx::array memory({static_cast<int>((bytes + 3) / 4)}, mx::uint32, nullptr, {});
  allocate_aligned(memory);
  encoder_.add_temporary(memory);
  return memory.data<char>();
}

void* Workspace::take(size_t bytes) {
  buffers_.push_back(mx::allocator::malloc(reusable_size(bytes + alignment)));
  auto buffer = buffers_.back().buffer();
  ask_for_huge_pages(buffer.raw_ptr(), bytes);
  return static_cast<char*>(buffer.raw_ptr()) + bytes_to_boundary(buffer.raw_ptr());
}

const Kernels& kernels() {
  const Kernels* selected = select_kernels();
  if (!selected) throw std::runtime_error("bert_playground_kernels needs a CPU with AVX2 and FMA");
  return *selected;
}

mx::Stream cpu_stream() {
  if (is_orphan)
    throw std::runtime_error(
        "this process was forked after MLX had run, whose threads stayed behind; start workers with multiprocessing's "
        "spawn method");
  return mx::default_stream(mx::Device::cpu);
}

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

std::string describe(const mx::array& a) {
  std::ostringstream text;
  text << a.dtype() << a.shape();
  return text.str();
}

void require_activations(const mx::array& a, const char* name) {
  require(a.ndim() >= 1 && (a.dtype() == mx::float32 || a.dtype() == mx::bfloat16),
          std::string(name) + " is " + describe(a) + ", expected float32 or bfloat16 with at least one dimension");
}

void require_shape(const mx::array& a, const mx::Shape& shape, const char* name) {
  if (a.shape() == shape) return;
  std::ostringstream text;
  text << name << " has shape " << a.shape() << ", expected " << shape;
  throw std::invalid_argument(text.str());
}

void require_seed(const std::optional<mx::array>& seed, float dropout) {
  require(dropout >= 0.0f && dropout < 1.0f, "dropout is " + std::to_string(dropout) + ", expected 0 <= dropout < 1");
  if (dropout == 0.0f) return;
  require(seed.has_value(), "dropout needs a seed; pass an mx.random key");
  require(seed->dtype() == mx::uint32 && seed->size() == 2,
          "seed is " + describe(*seed) + ", expected uint32[2], an mx.random key");
}

void require_sequences(const mx::array& cu_seqlens) {
  require(cu_seqlens.ndim() == 1 && cu_seqlens.size() >= 1 && cu_seqlens.dtype() == mx::int32,
          "cu_seqlens is " + describe(cu_seqlens) + ", expected int32[num_sequences + 1]");
}

void check_sequences(const int32_t* cu_seqlens, int64_t sequences, int64_t tokens) {
  const bool ordered = cu_seqlens[0] == 0 && std::is_sorted(cu_seqlens, cu_seqlens + sequences + 1);
  if (ordered && cu_seqlens[sequences] <= tokens) return;
  std::ostringstream text;
  text << "cu_seqlens runs from " << cu_seqlens[0] << " to " << cu_seqlens[sequences]
       << (ordered ? "" : " and is not sorted from 0 up") << ", expected 0, then where each sequence ends, and at most "
       << tokens << ", the number of tokens";
  throw std::runtime_error(text.str());
}

void check_positions(const int32_t* cu_seqlens, int64_t sequences, int64_t positions) {
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t length = int64_t(cu_seqlens[s + 1]) - cu_seqlens[s];
    if (length > positions)
      throw std::runtime_error("sequence " + std::to_string(s) + " has " + std::to_string(length) +
                               " tokens, but cosines and sines have only " + std::to_string(positions) +
                               " positions; truncate it or pass longer tables");
  }
}

void check_ids(const int32_t* ids, int64_t count, int64_t rows) {
  const int32_t* wrong = std::find_if(ids, ids + count, [rows](int32_t id) { return id < 0 || id >= rows; });
  if (wrong != ids + count)
    throw std::runtime_error("ids holds " + std::to_string(*wrong) + ", expected 0 to " + std::to_string(rows - 1) +
                             ", the rows of the table");
}

DType dtype_of(const mx::array& a) { return a.dtype() == mx::bfloat16 ? DType::bf16 : DType::f32; }

Activation activation_of(const std::string& name) {
  if (name == "none") return Activation::none;
  if (name == "gelu") return Activation::gelu;
  if (name == "geglu") return Activation::geglu;
  if (name == "swiglu") return Activation::swiglu;
  throw std::invalid_argument("activation is \"" + name + "\", expected none, gelu, geglu or swiglu");
}

mx::Shape with_last(mx::Shape shape, int last) {
  shape.back() = last;
  return shape;
}

mx::array as_float32(const mx::array& a) {
  return a.dtype() == mx::float32 ? a : mx::astype(a, mx::float32, cpu_stream());
}

mx::array as_int32(const mx::array& ids) {
  require(mx::issubdtype(ids.dtype(), mx::integer), "ids is " + describe(ids) + ", expected integers");
  return ids.dtype() == mx::int32 ? ids : mx::astype(ids, mx::int32, cpu_stream());
}

bool is_zero_cotangent(const mx::array& a) {
  if (!a.has_primitive() || std::strcmp(a.primitive().name(), "Full") != 0) return false;
  mx::array value = a.inputs().at(0);
  while (value.has_primitive() &&
         (!std::strcmp(value.primitive().name(), "Broadcast") || !std::strcmp(value.primitive().name(), "AsType"))) {
    mx::array next = value.inputs().at(0);
    value = next;
  }
  if (value.has_primitive() || value.size() != 1 || value.status() != mx::array::Status::available) return false;
  const char* bytes = value.data<char>();
  return std::all_of(bytes, bytes + value.itemsize(), [](char byte) { return byte == 0; });
}

bool is_traced(const Arrays& inputs) {
  return std::any_of(inputs.begin(), inputs.end(), [](const mx::array& input) { return input.is_tracer(); });
}

bool contains(const Argnums& argnums, int wanted) {
  return std::find(argnums.begin(), argnums.end(), wanted) != argnums.end();
}

}  // namespace bpk::glue
