// AMX in software, so that the kernels of tiles are tested where no CPU has them: the intrinsics that they use, as Intel's manual
// defines them. Included before all else (-include) for a build with -mamx-*; needs AVX-512 with VNNI. Loads and stores go
// through memcpy, which AddressSanitizer sees, as it does not see those of real tiles.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#define BPK_EMULATED_TILES 1

namespace emulated {

constexpr int num_tiles = 8, num_rows = 16, row_bytes = 64;

struct Configuration {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

struct Tile {
  alignas(64) uint8_t bytes[num_rows][row_bytes];
};

inline thread_local Configuration configuration{};
inline thread_local Tile tiles[num_tiles];

// An undefined-instruction fault on a real CPU.
inline void require(bool ok) {
  if (!ok) std::abort();
}

inline void load_configuration(const void* from) {
  std::memcpy(&configuration, from, sizeof configuration);
  require(configuration.palette == 1);
  for (int i = 0; i < num_tiles; ++i)
    require(configuration.rows[i] <= num_rows && configuration.row_bytes[i] <= row_bytes);
  std::memset(tiles, 0, sizeof tiles);
}

inline void release() {
  configuration = {};
  std::memset(tiles, 0, sizeof tiles);
}

inline int rows_of(int tile) {
  require(configuration.palette == 1 && configuration.rows[tile] > 0);
  return configuration.rows[tile];
}

inline void zero(int tile) {
  rows_of(tile);
  std::memset(&tiles[tile], 0, sizeof(Tile));
}

inline void load(int tile, const void* base, int64_t stride) {
  const int rows = rows_of(tile);
  std::memset(&tiles[tile], 0, sizeof(Tile));
  for (int r = 0; r < rows; ++r)
    std::memcpy(tiles[tile].bytes[r], static_cast<const uint8_t*>(base) + r * stride, configuration.row_bytes[tile]);
}

inline void store(int tile, void* base, int64_t stride) {
  const int rows = rows_of(tile);
  for (int r = 0; r < rows; ++r)
    std::memcpy(static_cast<uint8_t*>(base) + r * stride, tiles[tile].bytes[r], configuration.row_bytes[tile]);
}

// Four bytes of a row, the same in all lanes.
inline __m512i broadcast(const Tile& tile, int row, int k) {
  int32_t value;
  std::memcpy(&value, tile.bytes[row] + 4 * k, sizeof value);
  return _mm512_set1_epi32(value);
}

inline __m512i row_of(const Tile& tile, int row) { return _mm512_load_si512(tile.bytes[row]); }

// The shapes of a product: rows of the sum and of a, columns of the sum and of b, four bytes of a for each row of b.
inline int depth_of(int sum, int a, int b) {
  require(rows_of(sum) == rows_of(a) && configuration.row_bytes[sum] == configuration.row_bytes[b]);
  require(configuration.row_bytes[a] == 4 * rows_of(b));
  return configuration.row_bytes[a] / 4;
}

// TDPBF16PS: sums of the even and of the odd elements apart, fused, denormals as zeros, to nearest; then both onto the tile.
inline void multiply_bf16(int sum, int a, int b) {
  const int depth = depth_of(sum, a, b), rows = rows_of(sum);
  const unsigned before = _mm_getcsr();
  _mm_setcsr(0x9fc0);  // flush to zero, denormals are zeros, all exceptions masked
  const __m512i odd = _mm512_set1_epi32(int32_t(0xffff0000));
  for (int m = 0; m < rows; ++m) {
    __m512 evens = _mm512_setzero_ps(), odds = _mm512_setzero_ps();
    for (int k = 0; k < depth; ++k) {
      const __m512i x = broadcast(tiles[a], m, k), y = row_of(tiles[b], k);
      evens = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), _mm512_castsi512_ps(_mm512_slli_epi32(y, 16)), evens);
      odds = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, odd)), _mm512_castsi512_ps(_mm512_and_si512(y, odd)), odds);
    }
    const __m512 total = _mm512_add_ps(_mm512_castsi512_ps(row_of(tiles[sum], m)), _mm512_add_ps(evens, odds));
    _mm512_store_si512(tiles[sum].bytes[m], _mm512_castps_si512(total));
  }
  _mm_setcsr(before);
}

// TDPBUSD: unsigned bytes of a, signed ones of b, four products added to each number of 32 bits.
inline void multiply_bytes(int sum, int a, int b) {
  const int depth = depth_of(sum, a, b), rows = rows_of(sum);
  for (int m = 0; m < rows; ++m) {
    __m512i total = row_of(tiles[sum], m);
    for (int k = 0; k < depth; ++k) total = _mm512_dpbusd_epi32(total, broadcast(tiles[a], m, k), row_of(tiles[b], k));
    _mm512_store_si512(tiles[sum].bytes[m], total);
  }
}

}  // namespace emulated

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#undef _tile_dpbusd
#define _tile_loadconfig(from) emulated::load_configuration(from)
#define _tile_release() emulated::release()
#define _tile_zero(tile) emulated::zero(tile)
#define _tile_loadd(tile, base, stride) emulated::load(tile, base, stride)
#define _tile_stored(tile, base, stride) emulated::store(tile, base, stride)
#define _tile_dpbf16ps(sum, a, b) emulated::multiply_bf16(sum, a, b)
#define _tile_dpbusd(sum, a, b) emulated::multiply_bytes(sum, a, b)
