// A small test harness: named checks against f64 references, random data and guarded buffers.
#pragma once
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/vec.h"

#define BPK_TEXT_(x) #x
#define BPK_TEXT(x) BPK_TEXT_(x)

namespace test {

using bpk::BPK_ISA::bf16;
using bpk::BPK_ISA::to_bf16;
using bpk::BPK_ISA::to_float;

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float inf = std::numeric_limits<float>::infinity();

// Linux grants tiles on request, and a tile instruction before that is an illegal one.
inline bool may_use_tiles() {
#ifdef BPK_EMULATED_TILES
  return true;
#else
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#endif
}

inline int failures = 0;
inline int checks = 0;

inline void expect(bool ok, const std::string& what) {
  ++checks;
  if (ok) return;
  ++failures;
  if (failures <= 40) std::printf("FAILED %s\n", what.c_str());
}

template <class... Parts>
std::string text(const Parts&... parts) {
  std::string all;
  [[maybe_unused]] const auto add = [&](const auto& part) {
    if constexpr (std::is_convertible_v<decltype(part), std::string>) all += std::string(part) + " ";
    else all += std::to_string(part) + " ";
  };
  (add(parts), ...);
  return all;
}

// Repeatable numbers that do not depend on the standard library's distributions.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint32_t bits() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return uint32_t(state_ >> 33) ^ uint32_t(state_ >> 13);
  }
  double uniform() { return (bits() & 0xffffff) / double(1 << 24); }
  double normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum;
  }
  int below(int n) { return int(bits() % uint32_t(n)); }

 private:
  uint64_t state_;
};

// An array that starts off alignment, so that aligned loads fault and the sanitizer sees each step outside.
template <class T>
class Array {
 public:
  explicit Array(int64_t size, int offset = 1) : memory_(size + offset), offset_(offset) {}
  T* data() { return memory_.data() + offset_; }
  const T* data() const { return memory_.data() + offset_; }
  int64_t size() const { return int64_t(memory_.size()) - offset_; }
  T& operator[](int64_t i) { return data()[i]; }
  const T& operator[](int64_t i) const { return data()[i]; }

  static Array normal(int64_t size, uint64_t seed, double scale = 1, double shift = 0) {
    Array a(size);
    Random random(seed);
    for (int64_t i = 0; i < size; ++i) bpk::BPK_ISA::store(&a[i], float(random.normal() * scale + shift));
    return a;
  }
  static Array filled(int64_t size, float value) {
    Array a(size);
    for (int64_t i = 0; i < size; ++i) bpk::BPK_ISA::store(&a[i], value);
    return a;
  }
  std::vector<double> doubles() const {
    std::vector<double> all(size());
    for (int64_t i = 0; i < size(); ++i) all[i] = to_float(data()[i]);
    return all;
  }

 private:
  std::vector<T> memory_;
  int offset_;
};

using Doubles = std::vector<double>;

template <class T>
constexpr bpk::DType dtype_of() {
  return sizeof(T) == 2 ? bpk::DType::bf16 : bpk::DType::f32;
}
template <class T>
constexpr const char* name_of() {
  return sizeof(T) == 2 ? "bf16" : "f32";
}

// Largest difference, relative to the size of the reference as a whole: rounding in one element is not judged by the
// cancellation that happened to make it small. `floor` is the smallest size assumed. NaN must meet NaN.
template <class T>
double error(const Array<T>& got, const Doubles& want, double floor) {
  double scale = floor, worst = 0;
  for (double w : want)
    if (std::isfinite(w)) scale = std::max(scale, std::fabs(w));
  for (size_t i = 0; i < want.size(); ++i) {
    const double g = to_float(got[int64_t(i)]);
    if (std::isnan(want[i]) != std::isnan(g)) return inf;
    if (std::isnan(g) || g == want[i]) continue;
    worst = std::max(worst, std::fabs(g - want[i]));
  }
  return worst / scale;
}

template <class T>
void expect_close(const Array<T>& got, const Doubles& want, double tolerance, const std::string& what, double floor = 1e-30) {
  const double e = error(got, want, floor);
  expect(e <= tolerance, what + " error " + std::to_string(e) + " > " + std::to_string(tolerance));
}

template <class T>
bool same_bytes(const Array<T>& a, const Array<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), size_t(a.size()) * sizeof(T)) == 0;
}

inline int report(const char* name) {
  std::printf("%-16s %s: %d checks, %d failed\n", name, BPK_TEXT(BPK_ISA), checks, failures);
  return failures ? 1 : 0;
}

}  // namespace test
