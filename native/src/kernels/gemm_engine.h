// Register kernels: one small tile of C = A B from packed operands (gemm_pack.h), by vector FMA or by AMX.
//
//   Engine::max_rows, Engine::padded_rows(rows)   the height of a group of rows of A
//   Engine::Session                               what a thread must hold while it multiplies
//   Engine::multiply(rows, a, b, step_blocks, c, accumulate, next, between)
//
// c is [padded_rows][panel_width]; with `accumulate` it is added to, for inner dimensions cut into several blocks. Where
// Engine::overlaps, between() is called once for each step block: vector work for while the tiles multiply.
#pragma once
#include "gemm_pack.h"

namespace bpk::BPK_ISA {

// Memory that the next calls will need, to be prefetched meanwhile: so many cache lines for each step block.
struct PrefetchRange {
  const uint32_t* from;
  int lines;
};

template <class StepType>
struct VectorEngine {
  using Step = StepType;
  // Two columns of accumulators beside two registers of B and a broadcast fill the register file: 16 or 32 registers.
  static constexpr int max_rows = VecF::lanes == 16 ? 14 : 6;
  static constexpr bool overlaps = false;
  // A slice of a panel fills about two thirds of the L1 cache.
  static constexpr int max_steps = 192;
  static int64_t most_rows(int64_t) { return 12 * max_rows; }
  static constexpr int padded_rows(int rows) { return rows; }
  // Rows are dealt out evenly, since a group of 13 is as efficient as one of 14 but a lone last row is not.
  static int group_begin(int rows, int groups, int group) {
    return rows / groups * group + min_of(group, rows % groups);
  }

  struct Session {};

  template <class Between>
  static void multiply(int rows, const uint32_t* a, const uint32_t* b, int64_t step_blocks, float* c, bool accumulate,
                       PrefetchRange, const Between&) {
    kernel_for<max_rows>(rows)(a, b, step_blocks, c, accumulate);
  }

 private:
  using Kernel = void (*)(const uint32_t*, const uint32_t*, int64_t, float*, bool);

  template <int rows>
  static Kernel kernel_for(int wanted) {
    if constexpr (rows == 1) return &kernel<1>;
    else return wanted == rows ? &kernel<rows> : kernel_for<rows - 1>(wanted);
  }

  template <int rows>
  static void kernel(const uint32_t* a, const uint32_t* b, int64_t step_blocks, float* c, bool accumulate) {
    constexpr int lanes = VecF::lanes;
    VecF sum[rows][2];
#pragma GCC unroll 14
    for (int i = 0; i < rows; ++i) {
      sum[i][0] = accumulate ? load(c + i * panel_width) : zero();
      sum[i][1] = accumulate ? load(c + i * panel_width + lanes) : zero();
    }
    for (int64_t block = 0; block < step_blocks; ++block, a += rows * lanes) {
#pragma GCC unroll 4
      for (int s = 0; s < lanes; ++s, b += panel_width) {
        const VecF b0 = load_bits(b), b1 = load_bits(b + lanes);
#pragma GCC unroll 14
        for (int i = 0; i < rows; ++i) {
          const VecF ai = set(__builtin_bit_cast(float, a[i * lanes + s]));
          sum[i][0] = Step::multiply_add(ai, b0, sum[i][0]);
          sum[i][1] = Step::multiply_add(ai, b1, sum[i][1]);
        }
      }
    }
#pragma GCC unroll 14
    for (int i = 0; i < rows; ++i) {
      store(c + i * panel_width, sum[i][0]);
      store(c + i * panel_width + lanes, sum[i][1]);
    }
  }
};

#ifdef __AMX_TILE__
// One configuration serves all: eight tiles of 16 rows by 64 bytes. Padding rows are zeros, so no tile is ever smaller.
struct alignas(64) TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

class TileSession {
 public:
  TileSession() {
    // In read-only memory: the intrinsic shows the compiler only the first eight bytes, so stores to a local may vanish.
    static constexpr TileConfiguration configuration;
    _tile_loadconfig(&configuration);
  }
  ~TileSession() { _tile_release(); }
  TileSession(const TileSession&) = delete;
  TileSession& operator=(const TileSession&) = delete;
};

// The products of one step block; tile numbers must be literals.
struct Bf16Tiles {
  using Step = Bf16Step;
  static BPK_INLINE void products_upper() {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
  }
  static BPK_INLINE void products_lower() {
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
};

template <class Tiles>
struct TileEngine {
  using Step = typename Tiles::Step;
  static constexpr int max_rows = 32;
  static constexpr bool overlaps = true;
  // Tiles are fast enough from the L2 cache; going through memory for partial sums would cost more.
  static constexpr int max_steps = 1536;
  static int64_t most_rows(int64_t steps) {
    return min_of<int64_t>(256, round_up((int64_t(1) << 18) / min_of<int64_t>(steps, max_steps), 32));
  }
  static constexpr int padded_rows(int rows) { return rows <= 16 ? 16 : 32; }
  static int group_begin(int rows, int, int group) { return min_of(rows, group * max_rows); }
  using Session = TileSession;

  // Tiles 0..3 hold C as 2 x 2, tiles 4 and 5 the rows of A, tiles 6 and 7 the columns of B.
  template <class Between>
  static void multiply(int rows, const uint32_t* a, const uint32_t* b, int64_t step_blocks, float* c, bool accumulate,
                       PrefetchRange next, const Between& between) {
    if (rows > 16) multiply_rows<32>(a, b, step_blocks, c, accumulate, next, between);
    else multiply_rows<16>(a, b, step_blocks, c, accumulate, next, between);
  }

 private:
  template <int rows, class Between>
  static void multiply_rows(const uint32_t* a, const uint32_t* b, int64_t step_blocks, float* c, bool accumulate,
                            PrefetchRange next, const Between& between) {
    constexpr int stride = panel_width * 4;
    float* lower = c + 16 * panel_width;
    if (accumulate) {
      _tile_loadd(0, c, stride);
      _tile_loadd(1, c + 16, stride);
      if constexpr (rows > 16) {
        _tile_loadd(2, lower, stride);
        _tile_loadd(3, lower + 16, stride);
      }
    } else {
      _tile_zero(0);
      _tile_zero(1);
      if constexpr (rows > 16) {
        _tile_zero(2);
        _tile_zero(3);
      }
    }
    for (int64_t block = 0; block < step_blocks; ++block, a += rows * 16, b += 16 * panel_width) {
      // Tile loads run too close to their use for the hardware prefetcher to help.
      for (int line = 0; line < next.lines; ++line, next.from += 16)
        _mm_prefetch(reinterpret_cast<const char*>(next.from), _MM_HINT_T1);
      _tile_loadd(4, a, 64);
      _tile_loadd(6, b, stride);
      _tile_loadd(7, b + 16, stride);
      Tiles::products_upper();
      if constexpr (rows > 16) {
        _tile_loadd(5, a + 16 * 16, 64);
        Tiles::products_lower();
      }
      between();
    }
    _tile_stored(0, c, stride);
    _tile_stored(1, c + 16, stride);
    if constexpr (rows > 16) {
      _tile_stored(2, lower, stride);
      _tile_stored(3, lower + 16, stride);
    }
  }
};
#endif

}  // namespace bpk::BPK_ISA
