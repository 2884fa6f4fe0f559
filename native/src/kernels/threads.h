// Threads, flush-to-zero and scratch memory for the kernels.
//
//   parallel_ranges(count, cost, body)  body(begin, end): one contiguous range per thread
//   parallel_team(cost, body)           body(thread, threads): the whole team, with team_barrier() inside
//   team_tasks(count, batch, body)      inside a team, body(i): handed out one by one, for tasks of unequal length
//   scratch<T>(slot, count)             this thread's memory for the duration of a kernel
//
// All set flush-to-zero on each thread and restore it. `cost` is the work of the whole region in elements visited once
// (a few bytes moved or a few flops each); below kSerialCost the caller's thread does it alone.
#pragma once
#include <omp.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>

#include "vec.h"

namespace bpk::BPK_ISA {

// Denormals cost a hundred times a normal operation, and gradients are full of them.
class FlushDenormals {
 public:
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(saved_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned saved_;
};

// Waking a team costs a few microseconds, the time in which one thread visits about this many elements.
constexpr int64_t kSerialCost = 1 << 15;

// A forked child has the parent's record of its team but not its threads, and would wait for them for ever.
inline bool is_forked_child() {
  static bool forked = false;
  static const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
  return registered == 0 && forked;
}

// Either one thread or all: libgomp ends the threads that a smaller team leaves out and must create them again later.
inline int team_size(int64_t cost) { return cost < kSerialCost || is_forked_child() ? 1 : omp_get_max_threads(); }

inline void team_barrier() {
#pragma omp barrier
}

template <class Body>
inline void parallel_team(int64_t cost, const Body& body) {
  if (team_size(cost) == 1) {
    const FlushDenormals guard;
    body(0, 1);
    return;
  }
#pragma omp parallel
  {
    const FlushDenormals guard;
    body(omp_get_thread_num(), omp_get_num_threads());
  }
}

// Ranges start at multiples of `grain`, so that threads do not share cache lines or vectors.
template <class Body>
inline void parallel_ranges(int64_t count, int64_t cost, const Body& body, int64_t grain = 1) {
  parallel_team(cost, [&](int thread, int threads) {
    const int64_t grains = (count + grain - 1) / grain;
    const int64_t begin = min_of(count, grains * thread / threads * grain);
    const int64_t end = min_of(count, grains * (thread + 1) / threads * grain);
    if (begin < end) body(begin, end);
  });
}

// Inside parallel_team: the team shares out body(i) for i < count, `batch` at a time, in no fixed order.
template <class Body>
inline void team_tasks(int64_t count, int64_t batch, const Body& body) {
#pragma omp for schedule(dynamic, batch) nowait
  for (int64_t i = 0; i < count; ++i) body(i);
}

// Memory that grows and is kept for the next call: fresh pages are slower than most kernels (7 GB/s to touch).
class ScratchBuffer {
 public:
  ~ScratchBuffer() { std::free(data_); }
  void* reserve(size_t bytes) {
    if (bytes <= size_) return data_;
    constexpr size_t huge_page = size_t(1) << 21;
    const size_t alignment = bytes >= huge_page ? huge_page : 4096;
    size_ = (bytes + bytes / 4 + alignment - 1) / alignment * alignment;
    std::free(data_);
    data_ = std::aligned_alloc(alignment, size_);
    if (!data_) std::abort();
    if (alignment == huge_page) madvise(data_, size_, MADV_HUGEPAGE);
    return data_;
  }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

inline ScratchBuffer& scratch_buffer(int slot) {
  static thread_local ScratchBuffer buffers[16];
  return buffers[slot];
}

// Uninitialised, page-aligned, owned by the calling thread; valid until the same thread asks for the same slot again.
// Other threads of the team may use it through the pointer. 64 bytes of slack let a full vector start at the last element.
template <class T>
inline T* scratch(int slot, int64_t count) {
  return static_cast<T*>(scratch_buffer(slot).reserve(size_t(count) * sizeof(T) + 64));
}

// Hands out pieces of one scratch buffer. A first pass over a null arena measures, a second one places:
//   place(arena) { a = arena.take<float>(n); b = arena.take<bf16>(m); ... }
class Arena {
 public:
  explicit Arena(void* base = nullptr) : next_(reinterpret_cast<uintptr_t>(base)), base_(next_) {}
  template <class T>
  T* take(int64_t count) {
    T* const piece = reinterpret_cast<T*>(next_);
    next_ += uintptr_t(round_up(count * int64_t(sizeof(T)), 64) + 64);
    return piece;
  }
  int64_t used() const { return int64_t(next_ - base_); }

 private:
  uintptr_t next_, base_;
};

// The buffers of `Buffers::place`, in this thread's scratch memory.
template <class Buffers, class... Sizes>
inline Buffers place_in_scratch(int slot, const Sizes&... sizes) {
  Buffers buffers;
  Arena measure;
  buffers.place(measure, sizes...);
  Arena arena(scratch<char>(slot, measure.used()));
  buffers.place(arena, sizes...);
  return buffers;
}

}  // namespace bpk::BPK_ISA
