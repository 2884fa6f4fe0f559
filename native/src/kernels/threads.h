// Threads, flush-to-zero and scratch memory for the kernels.
//
//   parallel_ranges(count, cost, body)  body(begin, end): one contiguous range per thread
//   parallel_team(cost, body)           body(thread, threads): the whole team, with team_barrier() inside
//   team_tasks(counter, count, batch, body)  inside a team, body(i): handed out one by one, for tasks of unequal length
//   share_team(cost, body)              body() calls kernels, whose regions share one team that is woken once
//   scratch<T>(slot, count)             this thread's memory for the duration of a kernel
//
// All set flush-to-zero on each thread and restore it. `cost` is the work of the whole region in elements visited once
// (a few bytes moved or a few flops each); below kSerialCost the caller's thread does it alone.
#pragma once
#include <linux/futex.h>
#include <omp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "kernels.h"
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

// A number that threads wait for. They spin for a moment, as an OpenMP barrier does not, and then sleep: a thread that went
// on would take the core from the one it waits for, and would be last in line when it has something to do.
class Signal {
 public:
  int32_t value() const { return __atomic_load_n(&value_, __ATOMIC_SEQ_CST); }

  void add(int32_t change) {
    __atomic_fetch_add(&value_, change, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&sleepers_, __ATOMIC_SEQ_CST))
      syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }

  template <class Condition>
  void wait(const Condition& condition) {
    for (int spins = 0; spins < 1000; ++spins) {
      if (condition(value())) return;
      _mm_pause();
    }
    __atomic_fetch_add(&sleepers_, 1, __ATOMIC_SEQ_CST);
    for (int32_t seen; !condition(seen = value());)
      syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
    __atomic_fetch_sub(&sleepers_, 1, __ATOMIC_SEQ_CST);
  }

 private:
  int32_t value_ = 0, sleepers_ = 0;
};

// The threads of one OpenMP team between the kernels that thread 0 calls: they wait here for regions, each handed over
// through memory in less than a microsecond.
class SharedTeam {
 public:
  // Thread 0, before all else: how many there will be.
  void gather(int threads) { helpers_ = threads - 1; }

  // Thread 0: a region for all; small ones, and those that come before the others are awake, it does alone.
  template <class Body>
  void run(int64_t cost, const Body& body) {
    const FlushDenormals guard;
    const auto are_all = [&](int32_t awake) { return awake == helpers_; };
    if (cost >= kSerialCost) awake_.wait(are_all);
    if (helpers_ == 0 || cost < kHandOverCost || !are_all(awake_.value())) return body(0, 1);
    region_ = [](const void* body, int thread, int threads) { (*static_cast<const Body*>(body))(thread, threads); };
    body_ = &body;
    busy_.add(helpers_);
    regions_.add(1);
    body(0, helpers_ + 1);
    busy_.wait([](int32_t busy) { return busy == 0; });
  }

  // Thread 0: no region comes any more.
  void dismiss() {
    region_ = nullptr;
    regions_.add(1);
  }

  // The others: all regions, until they are dismissed.
  void help(int thread, int threads) {
    const FlushDenormals guard;
    awake_.add(1);
    for (int32_t seen = 0;; ++seen) {
      regions_.wait([&](int32_t regions) { return regions > seen; });
      if (!region_) return;
      region_(body_, thread, threads);
      busy_.add(-1);
    }
  }

 private:
  static constexpr int64_t kHandOverCost = kSerialCost / 16;
  int helpers_ = 0;
  Signal awake_, busy_, regions_;
  void (*region_)(const void*, int, int) = nullptr;
  const void* body_ = nullptr;
};

// The team that the calling thread shares out between kernels, or null.
inline SharedTeam*& shared_team() {
  static thread_local SharedTeam* team = nullptr;
  return team;
}

template <class Body>
inline void parallel_team(int64_t cost, const Body& body) {
  if (SharedTeam* team = shared_team()) return team->run(cost, body);
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

// `cost` is that of all kernels together; where it is small, none wakes a team of its own either.
template <class Body>
inline void share_team(int64_t cost, const Body& body) {
  SharedTeam team;
  const auto lead = [&](int threads) {
    team.gather(threads);
    shared_team() = &team;
    body();
    shared_team() = nullptr;
    team.dismiss();
  };
  if (team_size(cost / 8) == 1) return lead(1);
#pragma omp parallel
  {
    if (omp_get_thread_num() == 0) lead(omp_get_num_threads());
    else team.help(omp_get_thread_num(), omp_get_num_threads());
  }
}

inline void share_team_of(const SharedKernels& kernels) {
  share_team(kernels.cost, [&] { kernels.call(kernels.context); });
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

// Deals out tasks; dynamic, since the cores of a shared machine are not equally fast.
struct TaskCounter {
  int64_t next = 0;
  int64_t take(int64_t count = 1) { return __atomic_fetch_add(&next, count, __ATOMIC_RELAXED); }
};

// Inside parallel_team: the team shares out body(i) for i < count, `batch` at a time, in no fixed order.
template <class Body>
inline void team_tasks(TaskCounter& counter, int64_t count, int64_t batch, const Body& body) {
  for (int64_t first; (first = counter.take(batch)) < count;)
    for (int64_t i = first; i < min_of(count, first + batch); ++i) body(i);
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
