// AVX-512 (F, BW, DQ, VL).
#define BPK_ISA avx512
#define BPK_TABLE avx512_kernels
#define BPK_FAST_BF16 false
#include "kernels/isa_table.h"
